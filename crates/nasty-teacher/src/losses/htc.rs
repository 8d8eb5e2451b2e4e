//! HTC (Jandial et al., ECCV 2022): a teacher at a high temperature. Public code has two different losses of this name.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use super::{cross_entropy, scaled_log_softmax, tempered_kl};

/// `α·KL(σ_τ(t) ‖ σ_1(s)) + (1−α)·CE`: the student is not tempered, and there is no τ². The re-implementation in
/// `distilling`: τ 50 (10 classes) or 70 (100), α 0.9. At such τ the target is nearly label smoothing.
pub fn htc(
    student: Tensor<2>,
    teacher: Tensor<2>,
    labels: Tensor<1, Int>,
    temperature: f64,
    alpha: f64,
) -> Tensor<1> {
    let log_p = scaled_log_softmax(teacher, temperature).div_scalar(temperature);
    let kl = (log_p.clone().exp() * (log_p - log_softmax(student.clone(), 1))).sum_dim(1).mean();
    kl.mul_scalar(alpha) + cross_entropy(student, labels, 0.0).mul_scalar(1.0 - alpha)
}

/// `CE + α·KL_mean(σ_τ(t) ‖ σ_τ(s))`: both tempered, no τ², the divergence averaged over the classes too, which makes it C
/// times weaker. The version of CMIM's code.
pub fn htc_symmetric(
    student: Tensor<2>,
    teacher: Tensor<2>,
    labels: Tensor<1, Int>,
    temperature: f64,
    alpha: f64,
) -> Tensor<1> {
    let classes = student.dims()[1] as f64;
    let kl = tempered_kl(teacher, student.clone(), temperature).mul_scalar(alpha / classes);
    cross_entropy(student, labels, 0.0) + kl
}
