//! The Skeptical Student.

use super::method::Method;
use crate::training::{self, NetworkRef, Objective};
use serde::{Deserialize, Serialize};

/// α, and the share of the epochs in which labels alone teach: 5 of 50 and 20 of 180 epochs are published.
const ALPHA: f64 = 0.9;
const DELAY: f64 = 0.1;

/// The Skeptical Student (Kundu et al., NeurIPS 2021): a shallow exit imitates the victim, and what a defence put into the answers
/// reaches the rest of the student only through the maps up to there. The clone is the student without its exits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skeptical {
    /// The stage, 1 to 3, whose exit imitates.
    pub stage: usize,
    /// τ.
    pub temperature: f64,
}

impl Method for Skeptical {
    fn name(&self) -> &'static str {
        "skeptical"
    }

    fn knows(&self) -> &'static str {
        "nothing of the defence"
    }

    fn settings(&self) -> Vec<(&'static str, f64)> {
        vec![("temperature", self.temperature), ("stage", self.stage as f64)]
    }

    fn objective(&self, answers: NetworkRef) -> Objective {
        let Self { stage, temperature } = *self;
        let skeptical =
            training::Skeptical { teacher: answers, stage, temperature, alpha: ALPHA, delay: DELAY };
        Objective::Skeptical(skeptical)
    }
}
