//! HTC as CMIM's code has it: both sides tempered.

use super::loss::{Loss, LossInput, temperature_problem, weight_problem};
use crate::losses;
use crate::training::NetworkRef;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// A student that learns labels and, beside them, a teacher's probabilities, both tempered and without the factor τ²: the other
/// loss that public code calls HTC. Averaged over the classes too, its divergence weighs 1/(τ²·classes) of that in distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HtcSymmetric {
    /// The teacher.
    pub teacher: NetworkRef,
    /// τ.
    pub temperature: f64,
    /// α, the weight of the KL term; the cross entropy's is 1.
    pub alpha: f64,
}

impl Loss for HtcSymmetric {
    fn name(&self) -> &'static str {
        "htc-symmetric"
    }

    fn published(teacher: NetworkRef) -> Option<Self> {
        // τ 4 and α 0.9 are those of CMIM's other distillations.
        Some(Self { teacher, temperature: 4.0, alpha: 0.9 })
    }

    fn victim(&self) -> Option<&NetworkRef> {
        Some(&self.teacher)
    }

    fn temperature(&self) -> Option<f64> {
        Some(self.temperature)
    }

    fn problem(&self) -> Option<String> {
        temperature_problem(self.temperature)
            .or_else(|| weight_problem("objective.alpha", self.alpha))
            .or_else(|| self.teacher.problem("objective.teacher"))
    }

    fn loss(&self, batch: LossInput) -> Tensor<1> {
        let teacher = batch.answers();
        losses::htc_symmetric(batch.logits, teacher, batch.labels, self.temperature, self.alpha)
    }
}
