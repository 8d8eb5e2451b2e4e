//! Rotation as a second task.

use super::method::Method;
use crate::training::{self, NetworkRef, Objective};
use serde::{Deserialize, Serialize};

/// Weight of the turned images' cross entropy.
const WEIGHT: f64 = 1.0;

/// S4L (Zhai et al., ICCV 2019; as a thief: Jagielski et al., USENIX Security 2020, and ModelGuard's code): distillation, and in every
/// step as many images of its whole pool, each turned by a random number of quarters, which a second head has to tell. Nobody is asked
/// about those, so images beyond the budget teach the student, too. The published thief turns every image four ways a step; the
/// mean over random turns is the same for half the work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// τ.
    pub temperature: f64,
    /// α, the weight of the KL term.
    pub alpha: f64,
}

impl Method for Rotation {
    fn name(&self) -> &'static str {
        "rotation"
    }

    fn knows(&self) -> &'static str {
        "nothing of the defence, and images that it asks nobody about"
    }

    fn settings(&self) -> Vec<(&'static str, f64)> {
        vec![("temperature", self.temperature), ("alpha", self.alpha)]
    }

    fn wants_unlabelled(&self) -> bool {
        true
    }

    fn passes(&self) -> f64 {
        2.0
    }

    fn objective(&self, answers: NetworkRef) -> Objective {
        let Self { temperature, alpha } = *self;
        Objective::Rotation(training::Rotation { teacher: answers, temperature, alpha, rotation: WEIGHT })
    }
}
