//! Exponential predictive divergence, with which adversarial sparse teachers are trained (AST, Yilmaz & Keles).

use burn::tensor::{Int, Tensor};

use super::stingy::kept;
use super::{cross_entropy, scaled_log_softmax};

/// `(1−α)·CE + α·τ²·EPD` with `EPD = (1/B)·Σ e^q·(q − p)`, `p = σ_τ(clean)`, `q = σ_τ` of the `keep` largest logits of
/// `sparse` (0 elsewhere), through which no gradient flows. It is linear in p.
pub fn exponential_predictive(
    clean: Tensor<2>,
    sparse: Tensor<2>,
    labels: Tensor<1, Int>,
    temperature: f64,
    alpha: f64,
    keep: usize,
) -> Tensor<1> {
    let q = kept(sparse, keep, temperature).0.detach();
    let p = scaled_log_softmax(clean.clone(), temperature).div_scalar(temperature).exp();
    let divergence = (q.clone().exp() * (q - p)).sum_dim(1).mean();
    cross_entropy(clean, labels, 0.0).mul_scalar(1.0 - alpha)
        + divergence.mul_scalar(alpha * temperature * temperature)
}
