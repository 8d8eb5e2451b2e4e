//! HTC: a teacher at a high temperature.

use super::loss::{Loss, LossInput, share_problem, temperature_problem};
use crate::losses;
use crate::training::NetworkRef;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// A student that imitates a teacher's probabilities at a high temperature without tempering its own (Jandial et al.,
/// ECCV 2022, as re-implemented in public code).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Htc {
    /// The teacher.
    pub teacher: NetworkRef,
    /// τ of the teacher's probabilities.
    pub temperature: f64,
    /// α, the weight of the KL term; 1−α is the cross entropy's.
    pub alpha: f64,
}

impl Loss for Htc {
    fn name(&self) -> &'static str {
        "htc"
    }

    fn published(teacher: NetworkRef) -> Option<Self> {
        Some(Self { teacher, temperature: 50.0, alpha: 0.9 })
    }

    fn victim(&self) -> Option<&NetworkRef> {
        Some(&self.teacher)
    }

    fn temperature(&self) -> Option<f64> {
        Some(self.temperature)
    }

    fn problem(&self) -> Option<String> {
        temperature_problem(self.temperature)
            .or_else(|| share_problem("objective.alpha", self.alpha))
            .or_else(|| self.teacher.problem("objective.teacher"))
    }

    fn loss(&self, batch: LossInput) -> Tensor<1> {
        let teacher = batch.answers();
        losses::htc(batch.logits, teacher, batch.labels, self.temperature, self.alpha)
    }
}
