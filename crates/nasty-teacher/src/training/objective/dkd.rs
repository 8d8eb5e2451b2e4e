//! Decoupled knowledge distillation.

use super::loss::{Loss, LossInput, temperature_problem, weight_problem};
use crate::losses;
use crate::training::NetworkRef;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// A student that imitates the label's share and the other classes' shares apart (Zhao et al., CVPR 2022).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Dkd {
    /// The teacher.
    pub teacher: NetworkRef,
    /// τ.
    pub temperature: f64,
    /// Weight of the label against the rest (TCKD; α in the paper).
    pub target: f64,
    /// Weight of the other classes among themselves (NCKD; β in the paper).
    pub others: f64,
    /// Weight of the cross entropy with the true labels.
    pub labels: f64,
    /// Epochs over which the imitation grows linearly to its full weight.
    pub warmup: usize,
}

impl Loss for Dkd {
    fn name(&self) -> &'static str {
        "dkd"
    }

    fn published(teacher: NetworkRef) -> Option<Self> {
        Some(Self { teacher, temperature: 4.0, target: 1.0, others: 8.0, labels: 1.0, warmup: 20 })
    }

    fn victim(&self) -> Option<&NetworkRef> {
        Some(&self.teacher)
    }

    fn temperature(&self) -> Option<f64> {
        Some(self.temperature)
    }

    fn problem(&self) -> Option<String> {
        temperature_problem(self.temperature)
            .or_else(|| weight_problem("objective.target", self.target))
            .or_else(|| weight_problem("objective.others", self.others))
            .or_else(|| weight_problem("objective.labels", self.labels))
            .or_else(|| self.teacher.problem("objective.teacher"))
    }

    fn loss(&self, batch: LossInput) -> Tensor<1> {
        let teacher = batch.answers();
        let grown = if self.warmup == 0 { 1.0 } else { (batch.epoch as f64 / self.warmup as f64).min(1.0) };
        let (target, others) = (grown * self.target, grown * self.others);
        let dkd = losses::Dkd { temperature: self.temperature, target, others, labels: self.labels };
        dkd.loss(batch.logits, teacher, batch.labels)
    }
}
