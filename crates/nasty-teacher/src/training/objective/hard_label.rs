//! Stealing by predicted classes.

use super::loss::{Loss, LossInput};
use crate::losses;
use crate::training::NetworkRef;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// A student that learns the teacher's predicted classes only; it never sees true labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HardLabel {
    /// The teacher.
    pub teacher: NetworkRef,
}

impl Loss for HardLabel {
    fn name(&self) -> &'static str {
        "hard-label"
    }

    fn published(teacher: NetworkRef) -> Option<Self> {
        Some(Self { teacher })
    }

    fn victim(&self) -> Option<&NetworkRef> {
        Some(&self.teacher)
    }

    fn problem(&self) -> Option<String> {
        self.teacher.problem("objective.teacher")
    }

    fn loss(&self, batch: LossInput) -> Tensor<1> {
        let predicted = batch.answers().argmax(1).squeeze_dim(1);
        losses::cross_entropy(batch.logits, predicted, 0.0)
    }
}
