//! DIST: relations instead of probabilities.

use super::loss::{Loss, LossInput, temperature_problem, weight_problem};
use crate::losses;
use crate::training::NetworkRef;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// A student that imitates how classes and images relate in a teacher's probabilities, by correlation (Huang et al.,
/// NeurIPS 2022).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Dist {
    /// The teacher.
    pub teacher: NetworkRef,
    /// τ.
    pub temperature: f64,
    /// Weight of the classes' relations for each image (β in the paper).
    pub inter: f64,
    /// Weight of the images' relations for each class (γ in the paper).
    pub intra: f64,
    /// Weight of both.
    pub weight: f64,
    /// Weight of the cross entropy with the true labels.
    pub labels: f64,
}

impl Loss for Dist {
    fn name(&self) -> &'static str {
        "dist"
    }

    fn published(teacher: NetworkRef) -> Option<Self> {
        Some(Self { teacher, temperature: 4.0, inter: 1.0, intra: 1.0, weight: 2.0, labels: 1.0 })
    }

    fn victim(&self) -> Option<&NetworkRef> {
        Some(&self.teacher)
    }

    fn temperature(&self) -> Option<f64> {
        Some(self.temperature)
    }

    fn problem(&self) -> Option<String> {
        temperature_problem(self.temperature)
            .or_else(|| weight_problem("objective.inter", self.inter))
            .or_else(|| weight_problem("objective.intra", self.intra))
            .or_else(|| weight_problem("objective.weight", self.weight))
            .or_else(|| weight_problem("objective.labels", self.labels))
            .or_else(|| self.teacher.problem("objective.teacher"))
    }

    fn loss(&self, batch: LossInput) -> Tensor<1> {
        let teacher = batch.answers();
        let Self { temperature, inter, intra, weight, labels, .. } = *self;
        losses::Dist { temperature, inter, intra, weight, labels }.loss(batch.logits, teacher, batch.labels)
    }
}
