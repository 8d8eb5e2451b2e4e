//! Why a run cannot continue.

use super::state_file::StateError;
use crate::nets::NetError;
use crate::victim::VictimError;
use crate::{Classified, ErrorClass};
use miette::Diagnostic;

/// A run that cannot go on.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum TrainError {
    /// A loss or a weight is NaN or infinite.
    #[error("the {what} became {loss} in epoch {}, step {} of recipe {recipe}", .epoch + 1, .step + 1)]
    #[diagnostic(help("{advice}"))]
    NotFinite {
        /// What is not finite, such as `loss`, `held-out loss` or `weights`.
        what: String,
        /// Its value.
        loss: f64,
        /// 0-based.
        epoch: usize,
        /// 0-based, over all epochs.
        step: usize,
        /// The recipe's hash.
        recipe: String,
        /// What to try, and what is left of the run.
        advice: String,
    },
    /// The state cannot be saved or read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    State(#[from] StateError),
    /// The saved weights do not fit.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Network(#[from] NetError),
    /// The victim does not answer.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Victim(#[from] VictimError),
}

impl Classified for TrainError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFinite { .. } => ErrorClass::NotFinite,
            Self::State(error) => error.class(),
            Self::Network(error) => error.class(),
            Self::Victim(error) => error.class(),
        }
    }
}
