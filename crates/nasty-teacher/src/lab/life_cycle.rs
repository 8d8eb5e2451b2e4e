//! The life cycle of every task: check that it can run → return it if finished → claim the run → check again whether it
//! was finished meanwhile → write the task → run it → write its result or failure.

use super::context::Context;
use super::error::JobError;
use super::executor::Worker;
use super::failure::Failure;
use super::pool::on_a_pool;
use super::result::RunResult;
use super::run::Run;
use super::store_error::StoreError;
use super::task::Task;
use super::task_end::{Ended, Look};
use super::workplace::Workplace;
use crate::panics::caught;
use crate::training::{Observer, Recipe};
use crate::{Classified, ErrorClass};

/// How carrying out a recipe ended.
#[derive(Debug)]
pub enum JobEnd {
    /// Finished, now or earlier.
    Done(Box<RunResult>),
    /// Stopped on request; the state is saved and the same call goes on.
    Stopped,
}

impl Worker for Workplace {
    type Error = JobError;

    fn look(&self, hash: &str) -> Look {
        let run = self.store.run(hash);
        if run.is_finished() {
            return Look::Done;
        }
        if run.busy() {
            return Look::Busy;
        }
        match run.last_failure() {
            Ok(Some(failure)) if failure.holds_on(&self.numerics()) => {
                Look::NotFinite(failure.error().to_string())
            }
            Ok(Some(Failure { class, attempts, message, .. })) if class != ErrorClass::NotFinite => {
                Look::Failed { attempts, message }
            }
            // A file that cannot be read is told of when the task is tried.
            _ => Look::Free,
        }
    }

    fn work(&self, task: &Task, observer: &mut dyn Observer) -> Result<Option<Ended>, JobError> {
        on_a_pool(rayon::current_num_threads(), || self.once(task, observer, false))
    }
}

impl Workplace {
    /// Trains a network, unless that is done already.
    ///
    /// # Errors
    /// As of [`Self::perform`].
    pub fn carry_out(&self, recipe: &Recipe, observer: &mut dyn Observer) -> Result<JobEnd, JobError> {
        let task = Task::Train(recipe.clone());
        match self.perform(&task, observer)? {
            Ended::Stopped => Ok(JobEnd::Stopped),
            Ended::Done => {
                let run = self.store.run(&task.hash());
                let gone = || StoreError::Damaged {
                    path: run.folder.clone(),
                    expected: "the result of a run",
                    found: "none".into(),
                };
                Ok(JobEnd::Done(Box::new(run.result()?.ok_or_else(gone)?)))
            }
        }
    }

    /// Carries out `task`, unless it is done already.
    ///
    /// # Errors
    /// [`JobError`]. Every failure is recorded in the store. A loss that is not finite is this task's result on these numerics:
    /// the next call gives the same error without trying. After any other failure the next call tries again.
    pub fn perform(&self, task: &Task, observer: &mut dyn Observer) -> Result<Ended, JobError> {
        let ended = on_a_pool(rayon::current_num_threads(), || self.once(task, observer, true))?;
        Ok(ended.unwrap_or(Ended::Stopped))
    }

    /// Carries out `task`. None: another process works on it, which is waited for if `wait` says so.
    fn once(&self, task: &Task, observer: &mut dyn Observer, wait: bool) -> Result<Option<Ended>, JobError> {
        let run = self.store.run(&task.hash());
        if let Some(problem) = task.problem() {
            return Err(JobError::Recipe { recipe: run.hash, problem });
        }
        loop {
            if let Some(ended) = self.ended(&run)? {
                return Ok(Some(ended));
            }
            let claim = if wait { Some(run.claim(&|| observer.stop())?) } else { run.try_claim()? };
            let Some(claim) = claim else { return Ok(None) };
            // Another process may have ended it meanwhile.
            if let Some(ended) = self.ended(&run)? {
                return Ok(Some(ended));
            }
            run.write_task(task)?;
            let mut context = Context::new(self, &run, &claim, observer);
            let panicked = |message| Err(JobError::Panic { recipe: run.hash.clone(), message });
            let end = caught(|| task.run(&mut context)).unwrap_or_else(panicked);
            if matches!(end, Ok(Ended::Done)) {
                return end.map(Some);
            }
            if !claim.is_held() {
                tracing::warn!("run {} was taken over by another process", run.hash);
                continue;
            }
            if let Err(error) = &end
                && error.class() != ErrorClass::Stopped
            {
                let earlier = run.last_failure().ok().flatten().map_or(0, |failure| failure.attempts);
                let failure = Failure::of(error, &run.hash, earlier, self.machine(), context.made_with());
                if let Err(e) = run.fail(&failure) {
                    tracing::warn!("the failure of run {} is not recorded: {e}", run.hash);
                }
            }
            return end.map(Some);
        }
    }

    /// How the run ended earlier, if that is its result.
    fn ended(&self, run: &Run) -> Result<Option<Ended>, JobError> {
        if run.is_finished() {
            return Ok(Some(Ended::Done));
        }
        match run.failure()? {
            Some(failure) if failure.holds_on(&self.numerics()) => Err(failure.error()),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
