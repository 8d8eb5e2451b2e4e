//! Stealing by predicted classes.

use super::method::{Method, Signal};
use crate::training::{self, NetworkRef, Objective};
use serde::{Deserialize, Serialize};

/// `CE(s, argmax y')`, ties to the lowest class. It needs nothing but the predicted class: no defence that keeps it changes
/// anything for this thief.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HardLabel {}

impl Method for HardLabel {
    fn name(&self) -> &'static str {
        "hard-label"
    }

    fn knows(&self) -> &'static str {
        "nothing of the defence"
    }

    fn signal(&self) -> Signal {
        Signal::PredictedClass
    }

    fn objective(&self, answers: NetworkRef) -> Objective {
        Objective::HardLabel(training::HardLabel { teacher: answers })
    }
}
