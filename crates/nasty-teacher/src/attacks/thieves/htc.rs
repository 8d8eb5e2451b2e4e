//! HTC: a high temperature for the answers, none for the student.

use super::method::Method;
use crate::training::{self, NetworkRef, Objective};
use serde::{Deserialize, Serialize};

/// `α·KL(σ_τ(ln y') ‖ σ_1(s)) + (1−α)·CE` with a high τ (Jandial et al., ECCV 2022, as re-implemented in public code): nearly
/// label smoothing with a weak image of the tail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Htc {
    /// τ of the answers.
    pub temperature: f64,
    /// α.
    pub alpha: f64,
}

impl Method for Htc {
    fn name(&self) -> &'static str {
        "htc"
    }

    fn knows(&self) -> &'static str {
        "nothing of the defence"
    }

    fn settings(&self) -> Vec<(&'static str, f64)> {
        vec![("temperature", self.temperature)]
    }

    fn objective(&self, answers: NetworkRef) -> Objective {
        let Self { temperature, alpha } = *self;
        Objective::Htc(training::Htc { teacher: answers, temperature, alpha })
    }
}
