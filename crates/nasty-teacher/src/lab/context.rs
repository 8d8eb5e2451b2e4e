//! What a task uses while it runs: the workplace, its claimed run, and the inputs of its result.

use super::claim::Claim;
use super::error::JobError;
use super::open_victim::fit_victim;
use super::recorder::Recorder;
use super::result::Machine;
use super::run::Run;
use super::task_end::Ended;
use super::weights::fit;
use super::workplace::Workplace;
use crate::data::{DataName, DataSet, Framing};
use crate::nets::Loaded;
use crate::numerics::Provenance;
use crate::training::{EpochRow, NetworkRef, Observer, RunContext};
use crate::victim::Victim;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// A task under way.
pub struct Context<'a> {
    /// Where it is carried out.
    pub workplace: &'a Workplace,
    /// Its run, claimed by this process.
    pub run: &'a Run,
    made_with: Provenance,
    owner: Owner<'a>,
    /// What a person was told already of the networks and victims.
    told: BTreeSet<String>,
}

/// Watches on behalf of the owner of a run, who stops once another process has taken the run over.
struct Owner<'a> {
    observer: &'a mut dyn Observer,
    claim: &'a Claim,
}

impl Observer for Owner<'_> {
    fn batch(&mut self, epoch: usize, batch: usize, batches: usize, loss: f64) {
        self.observer.batch(epoch, batch, batches, loss);
    }
    fn epoch(&mut self, row: &EpochRow, epochs: usize) {
        self.observer.epoch(row, epochs);
    }
    fn stop(&self) -> bool {
        self.claim.is_lost() || self.observer.stop()
    }
    fn resumed(&mut self, rows: &[EpochRow]) {
        self.observer.resumed(rows);
    }
    fn may_write(&self) -> bool {
        self.claim.is_held()
    }
}

/// Sees batches only: its epochs are not the task's.
struct Aside<'a>(&'a mut dyn Observer);

impl Observer for Aside<'_> {
    fn batch(&mut self, epoch: usize, batch: usize, batches: usize, loss: f64) {
        self.0.batch(epoch, batch, batches, loss);
    }
    fn epoch(&mut self, _: &EpochRow, _: usize) {}
    fn stop(&self) -> bool {
        self.0.stop()
    }
    fn may_write(&self) -> bool {
        self.0.may_write()
    }
}

impl<'a> Context<'a> {
    pub(super) fn new(
        workplace: &'a Workplace,
        run: &'a Run,
        claim: &'a Claim,
        observer: &'a mut dyn Observer,
    ) -> Self {
        let made_with = Provenance { numerics: vec![workplace.numerics()], weights: Vec::new() };
        Self { workplace, run, made_with, owner: Owner { observer, claim }, told: BTreeSet::new() }
    }

    /// The error that the task cannot run because of `problem`.
    pub fn refuse(&self, problem: String) -> JobError {
        JobError::Recipe { recipe: self.run.hash.clone(), problem }
    }

    /// The data set `name`, if it is the one with this `digest`.
    ///
    /// # Errors
    /// [`JobError`] if it cannot be read or is another one.
    pub fn data(
        &self,
        name: &DataName,
        side: Option<Framing>,
        digest: &str,
    ) -> Result<Arc<DataSet>, JobError> {
        let (set, found) = self.workplace.data_and_digest(name, side)?;
        if found == digest {
            return Ok(set);
        }
        Err(self.refuse(format!("its data set {name} had digest {digest}, the one here has {found}")))
    }

    /// A network that takes the images of `data` and tells its classes apart, its outputs in the data's order; their order is
    /// part of the digest that its answers are known by. The result says which weights it had.
    ///
    /// # Errors
    /// [`JobError`] if it is not there or does not fit.
    pub fn network(&mut self, reference: &NetworkRef, data: &DataSet) -> Result<Loaded, JobError> {
        let Loaded { network, config, digest } = self.known_network(reference)?;
        let fitted = fit(network, config, data, &self.workplace.device)
            .map_err(|e| self.refuse(format!("its network {}: {e}", reference.0)))?;
        fitted.note.iter().for_each(|note| self.tell(reference, note));
        let digest = fitted.known_as(&digest);
        Ok(Loaded { network: fitted.network, config: fitted.config, digest })
    }

    /// Tells a person what to know of `reference`, once: a task may use the same network several times.
    pub(super) fn tell(&mut self, reference: &NetworkRef, note: &str) {
        let text = format!("{}: {note}", reference.0);
        if !self.told.contains(&text) {
            tracing::warn!("{text}");
            self.told.insert(text);
        }
    }

    /// A foreign victim that takes the images of `data` and tells its classes apart, its answers in the data's order. The result
    /// says who it was.
    ///
    /// # Errors
    /// [`JobError`] if it is not there or does not fit.
    pub fn victim(&mut self, reference: &NetworkRef, data: &DataSet) -> Result<Arc<dyn Victim>, JobError> {
        let opened = self.workplace.known_victim(reference, &|| self.owner.stop())?;
        let fitted = fit_victim(&opened.victim, data)
            .map_err(|e| self.refuse(format!("its victim {}: {e}", reference.0)))?;
        // Who named the victim was told these when it was opened for that.
        opened.notes.iter().for_each(|note| tracing::info!("{}: {note}", reference.0));
        fitted.note.iter().for_each(|note| self.tell(reference, note));
        if self.made_with.weights.iter().all(|(known, _)| *known != reference.0) {
            self.made_with.weights.push((reference.0.clone(), fitted.victim.identity().to_owned()));
        }
        Ok(fitted.victim)
    }

    /// A network as it is. The result says which weights it had.
    ///
    /// # Errors
    /// [`JobError`] if it is not there.
    pub(super) fn known_network(&mut self, reference: &NetworkRef) -> Result<Loaded, JobError> {
        let loaded = self.workplace.known_network(reference)?;
        if self.made_with.weights.iter().all(|(known, _)| *known != reference.0) {
            self.made_with.weights.push((reference.0.clone(), loaded.digest.clone()));
        }
        Ok(loaded)
    }

    /// Does `work` in a context that keeps its state and records its course, once all networks are there.
    pub fn keeping<R>(&mut self, work: impl FnOnce(RunContext<'_>) -> R) -> R {
        let state_file = self.run.state_file();
        let provenance = self.made_with.clone();
        work(RunContext {
            state_file: &state_file,
            provenance,
            observer: &mut Recorder::new(self.run, &mut self.owner),
        })
    }

    /// Does `work` that is only a part of the task: its state is kept in `state_file`, and its course is not recorded.
    pub fn keeping_part<R>(&mut self, state_file: &Path, work: impl FnOnce(RunContext<'_>) -> R) -> R {
        let provenance = self.made_with.clone();
        work(RunContext { state_file, provenance, observer: &mut Aside(&mut self.owner) })
    }

    /// Whether to stop: it was asked for, or the run is another process's by now.
    pub fn stop(&self) -> bool {
        self.owner.stop()
    }

    /// Tells the observer that `done` of `wanted` parts of the work are done.
    pub fn progress(&mut self, done: usize, wanted: usize) {
        self.owner.batch(0, done, wanted, 0.0);
    }

    /// What the result is made from and with.
    pub fn made_with(&self) -> Provenance {
        self.made_with.clone()
    }

    /// What the result is made on.
    pub fn machine(&self) -> Machine {
        self.workplace.machine()
    }

    /// Whether the run is still this process's. If not, nothing more may be written to it.
    pub fn may_write(&self) -> bool {
        self.owner.may_write()
    }

    /// Writes the result: the run is finished.
    ///
    /// # Errors
    /// [`JobError::Store`].
    pub fn finish(&self, result: &impl Serialize) -> Result<Ended, JobError> {
        if !self.may_write() {
            return Ok(Ended::Stopped);
        }
        self.run.finish(result)?;
        Ok(Ended::Done)
    }
}
