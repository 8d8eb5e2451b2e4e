//! Hard labels: only the predicted class of a served row. No defence that keeps it has any effect.

use burn::tensor::Tensor;

use super::cross_entropy;
use super::rows::predicted;

/// `CE(s, argmax t)`, ties to the lowest class. `served` may be logits or probabilities `[batch, classes]`.
pub fn hard_label(student: Tensor<2>, served: Tensor<2>) -> Tensor<1> {
    cross_entropy(student, predicted(served), 0.0)
}
