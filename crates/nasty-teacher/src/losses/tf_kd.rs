//! Teacher-free distillation by regularisation, Tf-KD-reg (Yuan et al., CVPR 2020): a virtual teacher constructed from
//! the label.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

use super::cross_entropy;

/// What the virtual teacher gives the label.
const CORRECT: f64 = 0.99;

/// `(1−α)·CE + α·m/C·KL(softmax(u/τ) ‖ σ_1(s))`, u = 0.99 on the label and 0.01/(C−1) elsewhere; the softmax is taken of
/// these probabilities, the student is not tempered, and the divergence is averaged over the classes too, as in the public
/// code. At least two classes.
pub fn tf_kd_regularisation(
    student: Tensor<2>,
    labels: Tensor<1, Int>,
    temperature: f64,
    alpha: f64,
    multiplier: f64,
) -> Tensor<1> {
    let classes = student.dims()[1] as f64;
    // e^((u_label − u_other)/τ), written so that nothing overflows.
    let ratio = (((1.0 - CORRECT) / (classes - 1.0) - CORRECT) / temperature).exp();
    let on_label = 1.0 / (1.0 + (classes - 1.0) * ratio);
    let elsewhere = ratio * on_label;
    let with_log = |p: f64| if p > 0.0 { p * p.ln() } else { 0.0 };
    let negentropy = with_log(on_label) + (classes - 1.0) * with_log(elsewhere);
    let log_q = log_softmax(student.clone(), 1);
    // All classes alike, and what the label has beyond that.
    let alike = log_q.clone().mean().mul_scalar(classes * elsewhere);
    let label = log_q.gather(1, labels.clone().unsqueeze_dim(1)).mean().mul_scalar(on_label - elsewhere);
    let kl = (alike + label).neg().add_scalar(negentropy);
    cross_entropy(student, labels, 0.0).mul_scalar(1.0 - alpha) + kl.mul_scalar(alpha * multiplier / classes)
}
