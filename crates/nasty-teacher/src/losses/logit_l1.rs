//! ℓ1 between logits that were recovered from probabilities: data-free model extraction (DFME, Truong et al., CVPR 2021).

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

/// `ln σ_1(z)` minus its mean over the classes: the logits that can be recovered from probabilities.
pub fn recovered_logits(logits: Tensor<2>) -> Tensor<2> {
    let log_p = log_softmax(logits, 1);
    log_p.clone() - log_p.mean_dim(1)
}

/// Mean `|s − t|` over all entries of `student` and `recovered` logits `[batch, classes]`.
pub fn logit_l1(student: Tensor<2>, recovered: Tensor<2>) -> Tensor<1> {
    (student - recovered).abs().mean()
}
