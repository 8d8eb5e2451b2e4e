//! Hard labels: uses only the predicted class of a served row. A defence that keeps the predicted class has no effect.

use burn::tensor::Tensor;

use super::cross_entropy;
use super::rows::predicted;

/// `CE(s, argmax t)`, ties to the lowest class. `served` may be logits or probabilities `[batch, classes]`.
pub fn hard_label(student: Tensor<2>, served: Tensor<2>) -> Tensor<1> {
    cross_entropy(student, predicted(served), 0.0)
}
