//! Label smoothing over the other classes: Tf-KD's form (Yuan et al., CVPR 2020). PyTorch's form is
//! [`cross_entropy`](super::cross_entropy) with a smoothing; the two differ by a rescaled ε.

use burn::tensor::{Int, Tensor};

use super::cross_entropy;

/// Cross entropy against `1 − ε` on the label and `ε/(C−1)` elsewhere, batch mean. At least two classes.
pub fn label_smoothing_off_label(logits: Tensor<2>, labels: Tensor<1, Int>, epsilon: f64) -> Tensor<1> {
    // ε/(C−1) on all classes and the rest of 1 on the label: PyTorch's form with ε·C/(C−1).
    let classes = logits.dims()[1] as f64;
    cross_entropy(logits, labels, epsilon * classes / (classes - 1.0))
}
