//! The floor without a victim, with smoothed labels.

use super::method::{Method, Signal};
use crate::training::{CrossEntropy, NetworkRef, Objective};
use serde::{Deserialize, Serialize};

/// `CE(s, (1−ε)·onehot(y) + ε/C)` (Szegedy et al., CVPR 2016). Distillation is worth something where it beats the best ε.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelSmoothing {
    /// ε.
    pub smoothing: f64,
}

impl Method for LabelSmoothing {
    fn name(&self) -> &'static str {
        "label-smoothing"
    }

    fn knows(&self) -> &'static str {
        "true labels, no victim"
    }

    fn signal(&self) -> Signal {
        Signal::Nothing
    }

    fn settings(&self) -> Vec<(&'static str, f64)> {
        vec![("smoothing", self.smoothing)]
    }

    fn objective(&self, _: NetworkRef) -> Objective {
        Objective::CrossEntropy(CrossEntropy { label_smoothing: self.smoothing })
    }
}
