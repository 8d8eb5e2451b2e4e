//! The life of any run: it starts or resumes, reports its progress, saves its state, stops on request, and ends at once
//! when a number is not finite. Training and the attacks only define a step and an epoch.

use super::course::{Course, EpochRow, Observer};
use super::error::TrainError;
use super::state_file::{self, Parts, Saved, StateError};
use crate::numerics::Provenance;
use burn::optim::ModuleOptimizer;
use burn::tensor::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::time::{Duration, Instant};

/// Within an epoch the state is saved this often: what a killed process loses.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// At the end of an epoch it is saved if the last time was so long ago: not each of thousands of short epochs is worth it.
const SAVE_EPOCHS: Duration = Duration::from_secs(5);

/// What a run is given beside its recipe: where its state is kept, what it is made from, and who watches.
pub struct RunContext<'a> {
    /// Where the state is kept. Whoever records the result deletes it.
    pub state_file: &'a Path,
    /// The numerics in use now, and the weights of the networks that the run asks. A state that was made from other weights
    /// is refused; one of other numerics goes on, and the finished run tells both.
    pub provenance: Provenance,
    /// Who watches.
    pub observer: &'a mut dyn Observer,
}

/// A step of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    /// 0-based epoch.
    pub(crate) epoch: usize,
    /// 0-based step of the epoch.
    pub(crate) step: usize,
}

/// Why a step cannot be taken.
pub(crate) enum Fault {
    /// A number is NaN or infinite.
    NotFinite { what: &'static str, value: f64, advice: String },
    /// Anything else.
    Other(TrainError),
}

impl<E: Into<TrainError>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Checks that `value` is finite; if not, `advice` says what to try.
pub(crate) fn finite(what: &'static str, value: f64, advice: impl FnOnce() -> String) -> Result<(), Fault> {
    if value.is_finite() { Ok(()) } else { Err(Fault::NotFinite { what, value, advice: advice() }) }
}

/// What is done, step by step, in epochs.
pub(crate) trait Work {
    /// Everything that the rest of the work depends on.
    type State;
    /// The plain data of it.
    type Position: Serialize + DeserializeOwned;

    /// Epochs of the whole work.
    fn epochs(&self) -> usize;
    /// Steps of an epoch.
    fn steps(&self, epoch: usize) -> usize;
    /// The state at the beginning.
    fn fresh(&mut self) -> Result<Self::State, TrainError>;
    /// The state that was saved.
    fn resume(&mut self, saved: &Saved<Self::Position>) -> Result<Self::State, TrainError>;
    /// What is saved of the state.
    fn parts(&self, state: &Self::State) -> Parts<Self::Position>;
    /// Takes a step; beside the new state the loss that is shown.
    fn step(&mut self, state: Self::State, at: At) -> Result<(Self::State, f64), Fault>;
    /// Closes the epoch that just ended. Its row's seconds are filled in later.
    fn end_epoch(&mut self, state: &mut Self::State, epoch: usize) -> Result<EpochRow, Fault>;
    /// What to try if the weights are not finite.
    fn advice(&self) -> String;
}

/// How work ended.
pub(crate) enum Ended<S> {
    /// All epochs are done.
    Finished(S, Finish),
    /// Stopped on request with the state saved, or because another process took the run over.
    Stopped,
}

/// What is known of finished work, beside its state.
pub(crate) struct Finish {
    pub(crate) rows: Vec<EpochRow>,
    /// Over all sittings.
    pub(crate) seconds: f64,
    pub(crate) provenance: Provenance,
    pub(crate) end: RunEnd,
}

/// Where a run ended, for what is measured afterwards.
#[derive(Clone, Debug)]
pub struct RunEnd {
    recipe: String,
    epoch: usize,
    step: usize,
    advice: String,
}

impl RunEnd {
    /// Checks that a number measured on the finished work, such as the test loss, is finite.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`].
    pub fn finite(&self, what: &str, value: f64) -> Result<(), TrainError> {
        if value.is_finite() {
            return Ok(());
        }
        let Self { recipe, epoch, step, advice } = self.clone();
        Err(TrainError::NotFinite { what: what.to_owned(), loss: value, epoch, step, recipe, advice })
    }
}

/// A run under way.
struct Sitting<'a, 'b> {
    recipe: &'a str,
    context: RunContext<'b>,
    course: Course,
    /// Seconds of earlier sittings.
    earlier: f64,
    begun: Instant,
    saved: Instant,
    /// Steps done in the state on disk.
    kept: Option<usize>,
}

impl RunContext<'_> {
    /// Carries out `work` for the recipe with hash `recipe`, from the saved state if there is one.
    ///
    /// # Errors
    /// [`TrainError`]. The state that was saved last stays.
    pub(crate) fn carry_out<W: Work>(
        self,
        recipe: &str,
        work: &mut W,
    ) -> Result<Ended<W::State>, TrainError> {
        let mut now = Sitting {
            recipe,
            context: self,
            course: Course::default(),
            earlier: 0.0,
            begun: Instant::now(),
            saved: Instant::now(),
            kept: None,
        };
        let state = now.begin(work)?;
        now.go_on(work, state)
    }
}

impl Sitting<'_, '_> {
    fn begin<W: Work>(&mut self, work: &mut W) -> Result<W::State, TrainError> {
        let Self { context, recipe, .. } = self;
        let state = match state_file::read(context.state_file, recipe, &context.provenance)? {
            None => work.fresh()?,
            Some(saved) => {
                let state = work.resume(&saved)?;
                if let [.., before, now] = &saved.provenance.numerics[..] {
                    tracing::warn!(
                        "run {recipe} was started with {before} and resumes with {now}: the result will say so"
                    );
                }
                context.provenance = saved.provenance;
                self.course = saved.course;
                self.earlier = self.course.seconds;
                self.kept = Some(self.steps_done(work));
                state
            }
        };
        self.context.observer.resumed(&self.course.rows);
        Ok(state)
    }

    fn go_on<W: Work>(mut self, work: &mut W, mut state: W::State) -> Result<Ended<W::State>, TrainError> {
        let epochs = work.epochs();
        while self.course.epoch < epochs {
            let Course { epoch, .. } = self.course;
            let steps = work.steps(epoch);
            while self.course.step < steps {
                let at = At { epoch, step: self.course.step };
                let (next, shown) = work.step(state, at).map_err(|fault| self.failed(fault, epoch, work))?;
                state = next;
                self.course.step += 1;
                self.context.observer.batch(epoch, self.course.step, steps, shown);
                let stop = self.context.observer.stop();
                let due = self.course.step < steps && (stop || self.saved.elapsed() > SAVE_EVERY);
                if due && (!self.save(work, &state, epoch)? || stop) {
                    return Ok(Ended::Stopped);
                }
            }
            let row = work.end_epoch(&mut state, epoch).map_err(|fault| self.failed(fault, epoch, work))?;
            let row = EpochRow { seconds: self.seconds(), ..row };
            self.course.rows.push(row.clone());
            (self.course.epoch, self.course.step) = (epoch + 1, 0);
            let last = self.course.epoch == epochs;
            let mut fresh = false;
            if last || self.context.observer.stop() || self.saved.elapsed() > SAVE_EPOCHS {
                if !self.save(work, &state, epoch)? {
                    return Ok(Ended::Stopped);
                }
                fresh = true;
            }
            self.context.observer.epoch(&row, epochs);
            if self.context.observer.stop() && !last {
                if !fresh {
                    self.save(work, &state, epoch)?;
                }
                return Ok(Ended::Stopped);
            }
        }
        let seconds = self.course.seconds;
        let end = RunEnd {
            recipe: self.recipe.to_owned(),
            epoch: epochs.saturating_sub(1),
            step: self.steps_done(work),
            advice: self.with_kept(work.advice()),
        };
        let (rows, provenance) = (self.course.rows, self.context.provenance);
        Ok(Ended::Finished(state, Finish { rows, seconds, provenance, end }))
    }

    fn seconds(&self) -> f64 {
        self.earlier + self.begun.elapsed().as_secs_f64()
    }

    /// Saves the state, unless its weights are not finite: nothing could go on from such a state. `false` if the run is no
    /// longer this process's: nothing was written.
    fn save<W: Work>(&mut self, work: &W, state: &W::State, epoch: usize) -> Result<bool, TrainError> {
        let parts = work.parts(state);
        let tensors = parts.groups.iter().flat_map(|(_, tensors)| tensors);
        if let Some(value) = tensors.flat_map(|t| &t.data).find(|v| !v.is_finite()) {
            let fault = Fault::NotFinite { what: "weights", value: f64::from(*value), advice: work.advice() };
            return Err(self.failed(fault, epoch, work));
        }
        if !self.context.observer.may_write() {
            return Ok(false);
        }
        self.course.seconds = self.seconds();
        let RunContext { state_file, provenance, .. } = &self.context;
        state_file::write(state_file, self.recipe, provenance, &self.course, &parts)?;
        self.saved = Instant::now();
        self.kept = Some(self.steps_done(work));
        Ok(true)
    }

    /// Steps done over all epochs.
    fn steps_done<W: Work>(&self, work: &W) -> usize {
        (0..self.course.epoch).map(|epoch| work.steps(epoch)).sum::<usize>() + self.course.step
    }

    fn failed<W: Work>(&self, fault: Fault, epoch: usize, work: &W) -> TrainError {
        match fault {
            Fault::Other(error) => error,
            Fault::NotFinite { what, value, advice } => TrainError::NotFinite {
                what: what.to_owned(),
                loss: value,
                epoch,
                step: self.steps_done(work),
                recipe: self.recipe.to_owned(),
                advice: self.with_kept(advice),
            },
        }
    }

    /// What to try, and what is left of the run.
    fn with_kept(&self, advice: String) -> String {
        match self.kept {
            Some(steps) => format!("{advice}; the state saved after {steps} steps is kept"),
            None => format!("{advice}; no state had been saved"),
        }
    }
}

/// An optimiser with the record `name` of a saved state.
pub(crate) fn restore<P>(
    optimiser: ModuleOptimizer,
    saved: &Saved<P>,
    name: &str,
) -> Result<ModuleOptimizer, StateError> {
    let restored = optimiser.from_bytes(Bytes::from_bytes_vec(saved.record(name)?));
    restored.map_err(|e| saved.damaged(&format!("an optimiser record that cannot be read ({e})")))
}

/// An optimiser's record.
pub(crate) fn record(optimiser: &ModuleOptimizer) -> Vec<u8> {
    optimiser.into_bytes().expect("an optimiser record in memory can be written").to_vec()
}

#[cfg(test)]
mod tests;
