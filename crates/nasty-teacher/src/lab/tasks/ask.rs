//! Asking a victim about images: its answers are kept in the store.

use crate::data::{DataName, DataSet, ImageSet};
use crate::lab::answer_log::AnswerLog;
use crate::lab::ask::{Asked, collect, whose};
use crate::lab::ask_recipe::{AskRecipe, Reach};
use crate::lab::context::Context;
use crate::lab::cost::Estimate;
use crate::lab::error::JobError;
use crate::lab::open_victim::{fit_victim, open_victim};
use crate::lab::plain_victim::Opened;
use crate::lab::result::{AskResult, RESULT_FORMAT};
use crate::lab::task::TaskKind;
use crate::lab::task_end::Ended;
use crate::lab::work::Work;
use crate::lab::workplace::Workplace;
use crate::nets::NetError;
use crate::training::NetworkRef;
use crate::victim::Victim;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

impl TaskKind for AskRecipe {
    fn hash(&self) -> String {
        AskRecipe::hash(self)
    }

    fn needs(&self) -> Vec<&NetworkRef> {
        Vec::new()
    }

    fn data(&self) -> &DataName {
        &self.images.data.name
    }

    fn seed(&self) -> u64 {
        0
    }

    fn problem(&self) -> Option<String> {
        AskRecipe::problem(self)
    }

    fn cost(&self, _: &mut Estimate<'_>) -> Result<(), NetError> {
        // Nobody knows how long a victim takes.
        Ok(())
    }
}

impl Work for AskRecipe {
    fn run(&self, context: &mut Context<'_>) -> Result<Ended, JobError> {
        let begun = Instant::now();
        let of = &self.images.data;
        let pool = context.data(&of.name, of.side, &of.digest)?;
        let images = self.images.of(&pool).map_err(|problem| context.refuse(problem))?;
        let Some(asked) = ask_about(context, &self.reach, &images, self.times.clone())? else {
            return Ok(Ended::Stopped);
        };
        context.finish(&AskResult {
            format: RESULT_FORMAT,
            recipe: context.run.hash.clone(),
            answers: images.len() * self.times.len(),
            asked,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }
}

/// Asks the victim of `reach` about those of `images` whose answers are not in the store yet, for each of `times`. How many images it
/// was asked about; none if it was stopped before all were answered.
pub(super) fn ask_about(
    context: &mut Context<'_>,
    reach: &Reach,
    images: &ImageSet,
    times: Range<u32>,
) -> Result<Option<u64>, JobError> {
    let workplace = context.workplace;
    let of = &reach.classes_of;
    let fit_to = context.data(&of.name, of.side, &of.digest)?;
    // Two tasks that ask one victim take turns; the second finds what the first has asked.
    let shared = workplace.store.run(&reach.whose.folder());
    let claim = shared.claim(&|| context.stop())?;
    let mut log = AnswerLog::open(&shared.folder, &reach.whose)?;
    let before = log.asked();
    let victim = open(reach, &fit_to, workplace)?;
    let mut stop = |done, wanted| {
        context.progress(done, wanted);
        context.stop() || !claim.is_held()
    };
    let asked = collect(&mut log, &*victim, images, times, &mut stop)?;
    Ok((asked == Asked::All && context.may_write()).then(|| log.asked() - before))
}

/// Opens the victim, its answers in the order of the classes of `data`, unless it is another one by now.
pub(super) fn open(
    reach: &Reach,
    data: &DataSet,
    workplace: &Workplace,
) -> Result<Arc<dyn Victim>, JobError> {
    let Opened { victim, .. } = open_victim(&reach.victim, &reach.how, workplace)?;
    let victim = fit_victim(&victim, data)?.victim;
    let found = whose(&*victim);
    if found == reach.whose {
        return Ok(victim);
    }
    let (was, is) = (&reach.whose.identity, &found.identity);
    let problem = format!("its victim {} was {was} when it was planned, now it is {is}", reach.victim);
    Err(JobError::Recipe { recipe: reach.whose.folder(), problem })
}
