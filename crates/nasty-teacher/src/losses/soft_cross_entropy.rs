//! Soft cross entropy: the loss of an extraction thief on served probabilities.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

/// `−Σ p ln σ_1(s)` with target probabilities `p` `[batch, classes]`, batch mean (Orekondy et al., CVPR 2019).
pub fn soft_cross_entropy(student: Tensor<2>, target: Tensor<2>) -> Tensor<1> {
    (target * log_softmax(student, 1)).sum_dim(1).mean().neg()
}
