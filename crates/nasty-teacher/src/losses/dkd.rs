//! Decoupled knowledge distillation (Zhao et al., CVPR 2022).

use burn::tensor::{Bool, Int, Tensor};

use super::cross_entropy;
use super::rows::at_label;

/// `w·CE + τ²·(a·TCKD + b·NCKD)`: the divergence of the label against the rest, and of the other classes among themselves.
/// `KL = TCKD + (1 − p_y)·NCKD` for each sample. Public settings: w 1, a 1, b 8, τ 4 on CIFAR-100, with the second term
/// growing linearly over the first 20 epochs, which the caller does.
#[derive(Clone, Copy, Debug)]
pub struct Dkd {
    /// τ.
    pub temperature: f64,
    /// a: weight of the label against the rest.
    pub target: f64,
    /// b: weight of the other classes.
    pub others: f64,
    /// w: weight of the cross entropy.
    pub labels: f64,
}

/// Stands for −∞ where the label was: finite, so that its difference to itself is 0.
const MASKED: f64 = -1e30;

/// τ times the logarithms of a row's parts.
struct Parts {
    /// `τ·ln p_y` `[batch, 1]`.
    label: Tensor<2>,
    /// `τ·ln(1 − p_y)` `[batch, 1]`, by log-sum-exp over the other classes.
    rest: Tensor<2>,
    /// `τ·ln` of the softmax over the other classes `[batch, classes]`; `MASKED`, nearly, at the label.
    others: Tensor<2>,
}

fn parts(logits: Tensor<2>, label: &Tensor<2, Bool>, temperature: f64) -> Parts {
    let log_sum =
        |shifted: Tensor<2>| shifted.div_scalar(temperature).exp().sum_dim(1).log().mul_scalar(temperature);
    let shifted = logits.clone() - logits.max_dim(1).detach();
    let all = log_sum(shifted.clone());
    let others = shifted.clone().mask_fill(label.clone(), MASKED);
    // The largest of the others may be far below the largest of all.
    let most = others.clone().max_dim(1).detach();
    let rest = log_sum(others.clone() - most.clone()) + most;
    let own = shifted.mask_fill(label.clone().bool_not(), 0.0).sum_dim(1);
    Parts { label: own - all.clone(), rest: rest.clone() - all, others: others - rest }
}

impl Dkd {
    /// The loss of `student` logits against `teacher` logits `[batch, classes]`, batch mean.
    pub fn loss(&self, student: Tensor<2>, teacher: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
        let label = at_label(labels.clone(), student.dims()[1]);
        let p = parts(teacher, &label, self.temperature);
        let q = parts(student.clone(), &label, self.temperature);
        let term = |p: Tensor<2>, q: Tensor<2>| p.clone().div_scalar(self.temperature).exp() * (p - q);
        let target = (term(p.label, q.label) + term(p.rest, q.rest)).mean();
        let others = term(p.others, q.others).sum_dim(1).mean();
        cross_entropy(student, labels, 0.0).mul_scalar(self.labels)
            + target.mul_scalar(self.temperature * self.target)
            + others.mul_scalar(self.temperature * self.others)
    }
}
