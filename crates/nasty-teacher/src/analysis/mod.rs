//! Views of a network's outputs: its responses to single images ([`responses`]), and where images lie among its
//! features and logits ([`tsne`]).

pub mod clusters;
mod outputs;
mod principal;
pub mod responses;
pub mod tsne;

pub use outputs::{Outputs, all_outputs, choose};

use crate::victim::VictimError;
use miette::Diagnostic;

/// An analysis that cannot be made.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum AnalysisError {
    /// More images are wanted than there are.
    #[error("images is {wanted}, but the data set has only {there} test images")]
    #[diagnostic(help("ask for at most {there}"))]
    TooFewImages {
        /// Images the recipe asks for.
        wanted: usize,
        /// Test images.
        there: usize,
    },
    /// A network's features or logits hold NaN or an infinity.
    #[error("the network's {what} are not finite")]
    #[diagnostic(help("the network is broken: train it again with a smaller learning rate or clip_norm=1"))]
    NotFinite {
        /// `features` or `logits`.
        what: &'static str,
    },
    /// A victim does not answer.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Victim(#[from] VictimError),
}

impl crate::Classified for AnalysisError {
    fn class(&self) -> crate::ErrorClass {
        match self {
            Self::TooFewImages { .. } => crate::ErrorClass::Usage,
            Self::NotFinite { .. } => crate::ErrorClass::Data,
            Self::Victim(error) => error.class(),
        }
    }
}

/// The indices of `wanted` test images with classes `labels`, drawn by `seed`.
fn drawn(labels: &[u16], wanted: usize, seed: u64) -> Result<Vec<usize>, AnalysisError> {
    if wanted > labels.len() {
        return Err(AnalysisError::TooFewImages { wanted, there: labels.len() });
    }
    Ok(choose(labels, wanted, seed))
}
