//! Plain supervised training.

use super::loss::{Loss, LossInput};
use crate::losses;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Cross entropy with the true labels: a normal teacher, or a student alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CrossEntropy {
    /// ε of label smoothing, 0 for none.
    pub label_smoothing: f64,
}

impl Loss for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn problem(&self) -> Option<String> {
        let fine = (0.0..1.0).contains(&self.label_smoothing);
        (!fine).then(|| {
            format!("objective.label_smoothing is {}, expected from 0 to below 1", self.label_smoothing)
        })
    }

    fn loss(&self, batch: LossInput) -> Tensor<1> {
        losses::cross_entropy(batch.logits, batch.labels, self.label_smoothing)
    }
}
