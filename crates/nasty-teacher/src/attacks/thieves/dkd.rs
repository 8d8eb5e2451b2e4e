//! Decoupled distillation.

use super::method::Method;
use crate::training::{self, NetworkRef, Objective};
use serde::{Deserialize, Serialize};

/// DKD (Zhao et al., CVPR 2022): the weight of the tail does not shrink with the victim's confidence. It undoes defences that
/// sharpen the answers, and suffers from those that poison the tail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dkd {
    /// τ.
    pub temperature: f64,
    /// Weight of the other classes among themselves (β in the paper).
    pub others: f64,
}

impl Method for Dkd {
    fn name(&self) -> &'static str {
        "dkd"
    }

    fn knows(&self) -> &'static str {
        "nothing of the defence"
    }

    fn settings(&self) -> Vec<(&'static str, f64)> {
        vec![("temperature", self.temperature), ("others", self.others)]
    }

    fn objective(&self, answers: NetworkRef) -> Objective {
        let Self { temperature, others } = *self;
        // The published warm-up is 20 of 240 epochs; here the learning rate warms up.
        Objective::Dkd(training::Dkd {
            teacher: answers,
            temperature,
            target: 1.0,
            others,
            labels: 1.0,
            warmup: 0,
        })
    }
}
