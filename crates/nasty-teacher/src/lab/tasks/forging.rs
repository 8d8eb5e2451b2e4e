//! A thief without images: it asks while it trains its clone.

use super::ask::open;
use super::loot::reach;
use crate::attacks::thieves::{Forger, Forgery, ThiefRecipe};
use crate::data::DataSet;
use crate::lab::context::Context;
use crate::lab::error::JobError;
use crate::lab::kept::Kept;
use crate::nets::Input;
use crate::training::{Outcome, Trained};

/// The clone that `forger` trains; none if it was stopped.
///
/// Its answers are kept, apart from those that other thieves read. A process that was killed goes on from its last saved state, makes
/// the images after that again, and finds the answers to them.
pub(super) fn forge(
    recipe: &ThiefRecipe,
    forger: &dyn Forger,
    context: &mut Context<'_>,
    data: &DataSet,
) -> Result<Option<Box<Trained>>, JobError> {
    let Some(budget) = recipe.budget else {
        return Err(context.refuse("it has no budget".into()));
    };
    let (workplace, run) = (context.workplace, context.run);
    let reach = reach(context, recipe.asked.as_ref())?;
    let victim = open(&reach, data, workplace)?;
    let victim = Kept::open_for(&run.hash, victim, &workplace.store, &|| context.stop())?;
    let input = Input { channels: data.test.channels, side: data.test.height };
    let device = workplace.device.clone();
    let clone = recipe.student.build(data.classes.len(), input, recipe.seed, &device.clone().autodiff())?;
    let with = Forgery {
        recipe: &run.hash,
        victim: &victim,
        clone,
        normalisation: &data.normalisation,
        optimiser: &recipe.optimiser,
        learning_rate: recipe.learning_rate,
        batch: recipe.batch,
        budget,
        seed: recipe.seed,
        device,
    };
    match context.keeping(|kept| forger.forge(&with, kept))? {
        Outcome::Finished(trained) => Ok(Some(trained)),
        Outcome::Stopped => Ok(None),
    }
}
