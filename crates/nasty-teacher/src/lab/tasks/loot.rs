//! What a thief has got hold of: a victim's answers out of the store, and what its student is taught by them.

use crate::attacks::thieves::{Loot, ThiefRecipe};
use crate::data::{DataSet, ImageSet};
use crate::lab::ask;
use crate::lab::ask_recipe::{AskRecipe, Reach};
use crate::lab::context::Context;
use crate::lab::error::JobError;
use crate::lab::task::Task;
use crate::lab::workplace::normalisation_of;
use crate::training::{NetworkRef, all_logits};
use crate::victim::{Answers, Front, Request, Scale, Victim, VictimError, argmax};

/// What the student is taught, as log-rows; none without a victim.
pub(super) fn targets(
    recipe: &ThiefRecipe,
    context: &mut Context<'_>,
    images: &ImageSet,
    data: &DataSet,
) -> Result<Option<Vec<f32>>, JobError> {
    let Some(asked) = &recipe.asked else { return Ok(None) };
    let mut rounds = Vec::new();
    let mut scale = Scale::Logits;
    for number in 0..recipe.thief.answers() as u32 {
        let (rows, of) = answers(context, Some(asked), images, number)?;
        rounds.push(rows);
        scale = of;
    }
    let prior = match &recipe.prior {
        None => None,
        Some(prior) => {
            let loaded = context.network(prior, data)?;
            let normalisation = normalisation_of(&loaded.config);
            Some(all_logits(&loaded.network, &normalisation, images, &context.workplace.device))
        }
    };
    let classes = data.classes.len();
    let loot = Loot { classes, scale, rounds, labels: &images.labels, prior };
    let rows = recipe.thief.targets(&loot).map_err(|problem| context.refuse(problem))?;
    if let Some(at) = rows.iter().position(|v| !v.is_finite()) {
        let problem = format!("the target of image {} has {}", at / classes, rows[at]);
        return Err(context.refuse(problem));
    }
    Ok(Some(rows))
}

/// The answers number `number` that the task `asked` collected to `images`, and what they are.
pub(super) fn answers(
    context: &Context<'_>,
    asked: Option<&NetworkRef>,
    images: &ImageSet,
    number: u32,
) -> Result<(Vec<f32>, Scale), JobError> {
    rows_of(context, &reach(context, asked)?, images, number)
}

/// Whom the task `asked` asks.
pub(super) fn reach(context: &Context<'_>, asked: Option<&NetworkRef>) -> Result<Reach, JobError> {
    let Some(NetworkRef(hash)) = asked else {
        return Err(context.refuse("it goes by served classes, but asks nobody".into()));
    };
    match context.workplace.store.run(hash).task()? {
        Some(Task::Ask(AskRecipe { reach, .. })) => Ok(reach),
        _ => Err(context.refuse(format!("its answers {hash} are not in the store"))),
    }
}

/// The answers number `number` of the victim of `reach` to `images`, and what they are.
pub(super) fn rows_of(
    context: &Context<'_>,
    reach: &Reach,
    images: &ImageSet,
    number: u32,
) -> Result<(Vec<f32>, Scale), JobError> {
    let log = context.workplace.store.answers(&reach.whose)?;
    let rows = ask::rows(&log, images, number).map_err(|problem| context.refuse(problem))?;
    Ok((rows, log.scale()))
}

/// The predicted class of each row.
pub(super) fn predicted(rows: &[f32], classes: usize) -> Vec<u16> {
    rows.chunks_exact(classes).map(|row| argmax(row) as u16).collect()
}

/// What a student is taught about its images, whatever view of them it sees.
pub(super) struct Taught {
    front: Front,
    rows: Vec<f32>,
}

impl Taught {
    pub(super) fn new(classes: usize, rows: Vec<f32>) -> Self {
        Self { front: Front::new("targets".into(), classes, Scale::Logits), rows }
    }
}

impl Victim for Taught {
    fn front(&self) -> &Front {
        &self.front
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
        let classes = self.front.classes();
        let row = |&(image, _): &(usize, usize)| self.rows[image * classes..][..classes].iter().copied();
        Ok(self.front.serve(request.items.iter().flat_map(row).collect()))
    }
}
