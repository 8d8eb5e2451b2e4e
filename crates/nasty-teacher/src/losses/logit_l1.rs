//! ℓ1 distance between logits that were recovered from probabilities: data-free model extraction (DFME, Truong et al.,
//! CVPR 2021).

use burn::tensor::Tensor;

/// `ln σ_1(z)` minus its mean over the classes: the logits that can be recovered from probabilities. The softmax's sum
/// cancels, so it is the logits minus their mean.
pub fn recovered_logits(logits: Tensor<2>) -> Tensor<2> {
    logits.clone() - logits.mean_dim(1)
}

/// Mean `|s − t|` over all entries of `student` and `recovered` logits `[batch, classes]`.
pub fn logit_l1(student: Tensor<2>, recovered: Tensor<2>) -> Tensor<1> {
    (student - recovered).abs().mean()
}
