//! The Skeptical Student.

use super::loss::{HeadKind, HeadLogits, Loss, LossInput, share_problem, temperature_problem};
use crate::losses::{self, ShallowExit};
use crate::training::NetworkRef;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// A student with an exit after each of its first three stages: a shallow one imitates the teacher, the final one learns from labels
/// and from the exit after stage 3 (Kundu et al., NeurIPS 2021). Only the final one is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Skeptical {
    /// The teacher.
    pub teacher: NetworkRef,
    /// The stage, 1 to 3, whose exit imitates the teacher. The public code counts the other way: its `loc` is 4 minus this.
    pub stage: usize,
    /// τ.
    pub temperature: f64,
    /// α, the weight of the KL term; 1−α is that of the same exit's cross entropy.
    pub alpha: f64,
    /// Share of the epochs at the beginning in which the final exit learns from labels alone.
    pub delay: f64,
}

impl Skeptical {
    fn exit(&self) -> Option<ShallowExit> {
        match self.stage {
            1 => Some(ShallowExit::AfterStage1),
            2 => Some(ShallowExit::AfterStage2),
            3 => Some(ShallowExit::AfterStage3),
            _ => None,
        }
    }
}

impl Loss for Skeptical {
    fn name(&self) -> &'static str {
        "skeptical"
    }

    fn published(teacher: NetworkRef) -> Option<Self> {
        // Delays of 20 of 180 and 5 of 50 epochs are published.
        Some(Self { teacher, stage: 2, temperature: 4.0, alpha: 0.9, delay: 0.1 })
    }

    fn victim(&self) -> Option<&NetworkRef> {
        Some(&self.teacher)
    }

    fn temperature(&self) -> Option<f64> {
        Some(self.temperature)
    }

    fn heads(&self) -> Option<HeadKind> {
        Some(HeadKind::Exits)
    }

    fn problem(&self) -> Option<String> {
        let stage = self.exit().is_none();
        stage
            .then(|| format!("objective.stage is {}, expected 1, 2 or 3", self.stage))
            .or_else(|| temperature_problem(self.temperature))
            .or_else(|| share_problem("objective.alpha", self.alpha))
            .or_else(|| share_problem("objective.delay", self.delay))
            .or_else(|| self.teacher.problem("objective.teacher"))
    }

    fn loss(&self, batch: LossInput) -> Tensor<1> {
        let teacher = batch.answers();
        if batch.epoch as f64 <= self.delay * batch.epochs as f64 {
            return losses::Skeptical::before(batch.logits, batch.labels);
        }
        let HeadLogits::Exits(exits) = batch.heads else {
            unreachable!("the trainer provides what `heads` asks for")
        };
        let [first, second, third] = *exits;
        let exit = self.exit().expect("`problem` allows three stages");
        let Self { temperature, alpha, .. } = *self;
        let skeptical = losses::Skeptical { exit, temperature, alpha };
        skeptical.loss([batch.logits, third, second, first], teacher, batch.labels)
    }
}
