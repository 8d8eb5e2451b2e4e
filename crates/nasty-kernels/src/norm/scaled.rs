//! Evaluation-mode batch-norm: a scale and a shift per channel.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::NormBackend;
use crate::Activation;

/// `activation(scale x + shift)`, not computed yet.
#[derive(Clone, Debug)]
pub(crate) struct Scaled {
    pub(crate) x: Tensor<4>,
    pub(crate) scale: Tensor<1>,
    pub(crate) shift: Tensor<1>,
    pub(crate) activation: Activation,
}

impl Scaled {
    /// `activation(scale x + shift + residual)`.
    pub(crate) fn compute(self, residual: Option<Tensor<4>>) -> Tensor<4> {
        Tensor::from_dispatch(<Dispatch as NormBackend>::nasty_scale_shift(
            self.x.into_dispatch(),
            self.scale.into_dispatch(),
            self.shift.into_dispatch(),
            residual.into(),
            self.activation,
        ))
    }
}
