//! Skeptical Student (Kundu et al., NeurIPS 2021): a shallow exit imitates the teacher, the final one imitates the exits and
//! the labels.

use burn::tensor::{Int, Tensor};

use super::{cross_entropy, distillation, tempered_kl};

/// Weights of the term by which the final exit and the first auxiliary one teach each other, and of its labels.
const SELF_TAUGHT: f64 = 0.3;
const OWN_LABELS: f64 = 0.7;

/// The four exits' logits `[batch, classes]`: the final one, after stage 3, after stage 2, after stage 1.
pub type Exits = [Tensor<2>; 4];

/// One of the exits beside the final one; the numbers are the paper's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShallowExit {
    /// s₁.
    AfterStage3 = 1,
    /// s₂.
    AfterStage2 = 2,
    /// s₃.
    AfterStage1 = 3,
}

/// `α·τ²·KL(σ_τ(t) ‖ σ_τ(s_loc)) + (1−α)·CE(s_loc) + 0.3·KL(σ_τ(s₀) ‖ σ_τ(s₁)) + 0.7·CE(s₁) + CE(s₀)`.
#[derive(Clone, Copy, Debug)]
pub struct Skeptical {
    /// loc: which exit imitates the teacher.
    pub exit: ShallowExit,
    /// τ.
    pub temperature: f64,
    /// α.
    pub alpha: f64,
}

impl Skeptical {
    /// The loss after the delay. The 0.3 term has no τ² and its gradient flows into both exits, as in the public code.
    pub fn loss(&self, exits: Exits, teacher: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
        let Self { exit, temperature, alpha } = *self;
        let imitation =
            distillation(exits[exit as usize].clone(), teacher, labels.clone(), temperature, alpha);
        let [last, third, ..] = exits;
        let among = tempered_kl(last.clone(), third.clone(), temperature);
        imitation
            + among.mul_scalar(SELF_TAUGHT)
            + cross_entropy(third, labels.clone(), 0.0).mul_scalar(OWN_LABELS)
            + Self::before(last, labels)
    }

    /// The loss before the delay: the final exit learns from labels alone.
    pub fn before(last: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
        cross_entropy(last, labels, 0.0)
    }
}
