//! HTC as CMIM's code has it: both sides tempered.

use super::method::Method;
use crate::training::{self, NetworkRef, Objective};
use serde::{Deserialize, Serialize};

/// `CE + α·KL_mean(σ_τ(ln y') ‖ σ_τ(s))`, no τ², the divergence averaged over the classes: what CMIM's code calls HTC. Its KL term
/// weighs 1/(τ²·classes) of the usual one, so that it steals little more than the labels it goes by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HtcSymmetric {
    /// τ of both sides.
    pub temperature: f64,
    /// α.
    pub alpha: f64,
}

impl Method for HtcSymmetric {
    fn name(&self) -> &'static str {
        "htc-symmetric"
    }

    fn knows(&self) -> &'static str {
        "nothing of the defence"
    }

    fn settings(&self) -> Vec<(&'static str, f64)> {
        vec![("temperature", self.temperature)]
    }

    fn objective(&self, answers: NetworkRef) -> Objective {
        let Self { temperature, alpha } = *self;
        Objective::HtcSymmetric(training::HtcSymmetric { teacher: answers, temperature, alpha })
    }
}
