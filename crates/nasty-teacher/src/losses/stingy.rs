//! Distillation from a stingy teacher (Ma et al., Stingy Teacher), using only its largest logits.

use burn::tensor::{Int, Tensor};

use super::rows::largest;
use super::{cross_entropy, scaled_log_softmax};

/// [`distillation`](super::distillation) with all but the `keep` largest teacher logits of a row at −∞:
/// `α·τ²·KL(σ_τ(t_keep) ‖ σ_τ(s)) + (1−α)·CE`, ties to the lowest classes.
pub fn stingy_distillation(
    student: Tensor<2>,
    teacher: Tensor<2>,
    labels: Tensor<1, Int>,
    temperature: f64,
    alpha: f64,
    keep: usize,
) -> Tensor<1> {
    let (p, log_p) = kept(teacher, keep, temperature);
    let log_q = scaled_log_softmax(student.clone(), temperature);
    let kl = (p * (log_p - log_q)).sum_dim(1).mean().mul_scalar(temperature * alpha);
    kl + cross_entropy(student, labels, 0.0).mul_scalar(1.0 - alpha)
}

/// `σ_τ` of the `keep` largest logits of a row, 0 elsewhere, and `τ·ln` of it, 0 where the probability is 0.
pub(super) fn kept(logits: Tensor<2>, keep: usize, temperature: f64) -> (Tensor<2>, Tensor<2>) {
    let dropped = largest(logits.clone(), keep).bool_not();
    // The largest logit is kept: after the shift by it, a dropped one can stand for any finite number.
    let shifted = (logits.clone() - logits.max_dim(1).detach()).mask_fill(dropped.clone(), 0.0);
    let weights = shifted.clone().div_scalar(temperature).exp().mask_fill(dropped.clone(), 0.0);
    let log_sum = weights.sum_dim(1).log().mul_scalar(temperature);
    let log_p = (shifted - log_sum).mask_fill(dropped.clone(), 0.0);
    let p = log_p.clone().div_scalar(temperature).exp().mask_fill(dropped, 0.0);
    (p, log_p)
}
