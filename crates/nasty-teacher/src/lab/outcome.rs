//! What came of a task of an experiment.

use super::failure::Failure;
use super::result::{Machine, PartResult, RunResult};
use super::run::Run;
use super::store_error::StoreError;
use crate::training::EpochRow;

/// What the store has at one hash.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Nothing finished yet.
    Missing,
    /// Its loss was not finite.
    NotFinite(Box<Failure>),
    /// A trained network, or one distilled without data: its result and its course.
    Trained(Box<RunResult>, Vec<EpochRow>),
    /// An attack or an analysis that trains no network.
    Part(PartResult),
}

impl Outcome {
    /// The network that `run` trained, if it is finished.
    pub(super) fn network(run: &Run) -> Result<Option<Self>, StoreError> {
        let rows = run.rows()?;
        Ok(run.result()?.map(|result| Self::Trained(Box::new(result), rows)))
    }

    /// What it ran on and for how many seconds, if it is finished.
    pub fn machine(&self) -> Option<(&Machine, f64)> {
        match self {
            Self::Missing | Self::NotFinite(_) => None,
            Self::Trained(result, _) => Some((&result.machine, result.seconds)),
            Self::Part(result) => Some(result.machine()),
        }
    }
}
