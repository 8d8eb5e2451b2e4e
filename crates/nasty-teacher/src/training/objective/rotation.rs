//! Distillation with rotation as a second task.

use super::loss::{
    HeadKind, HeadLogits, Loss, LossInput, Turned, share_problem, temperature_problem, weight_problem,
};
use crate::losses;
use crate::training::NetworkRef;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// A student that imitates a teacher's probabilities and also learns by how many quarters an image was turned, on images that
/// need neither labels nor answers (S4L: Zhai et al., ICCV 2019).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// The teacher.
    pub teacher: NetworkRef,
    /// τ of the KL term.
    pub temperature: f64,
    /// α, the weight of the KL term; 1−α is the cross entropy's.
    pub alpha: f64,
    /// Weight of the turned images' cross entropy.
    pub rotation: f64,
}

impl Loss for Rotation {
    fn name(&self) -> &'static str {
        "rotation"
    }

    fn published(teacher: NetworkRef) -> Option<Self> {
        Some(Self { teacher, temperature: 1.0, alpha: 1.0, rotation: 1.0 })
    }

    fn victim(&self) -> Option<&NetworkRef> {
        Some(&self.teacher)
    }

    fn temperature(&self) -> Option<f64> {
        Some(self.temperature)
    }

    fn heads(&self) -> Option<HeadKind> {
        Some(HeadKind::Turns)
    }

    fn problem(&self) -> Option<String> {
        temperature_problem(self.temperature)
            .or_else(|| share_problem("objective.alpha", self.alpha))
            .or_else(|| weight_problem("objective.rotation", self.rotation))
            .or_else(|| self.teacher.problem("objective.teacher"))
    }

    fn loss(&self, batch: LossInput) -> Tensor<1> {
        let teacher = batch.answers();
        let HeadLogits::Turned(turned) = batch.heads else {
            unreachable!("the trainer provides what `heads` asks for")
        };
        let Turned { logits, turns } = *turned;
        let imitation =
            losses::distillation(batch.logits, teacher, batch.labels, self.temperature, self.alpha);
        imitation + losses::cross_entropy(logits, turns, 0.0).mul_scalar(self.rotation)
    }
}
