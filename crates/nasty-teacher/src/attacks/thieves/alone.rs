//! The floor without a victim: the student alone.

use super::method::{Method, Signal};
use crate::training::{CrossEntropy, NetworkRef, Objective};
use serde::{Deserialize, Serialize};

/// `CE(s, y)` with true labels `y`. What a thief gets who labels the same images by hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alone {}

impl Method for Alone {
    fn name(&self) -> &'static str {
        "alone"
    }

    fn knows(&self) -> &'static str {
        "true labels, no victim"
    }

    fn signal(&self) -> Signal {
        Signal::Nothing
    }

    fn objective(&self, _: NetworkRef) -> Objective {
        Objective::CrossEntropy(CrossEntropy { label_smoothing: 0.0 })
    }
}
