//! Layer normalisation and layer scale.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use nasty_kernels::{self as kernels, Activation};

use super::builder::Init;
use super::{Builder, Maps};
use crate::nets::graph::Op;

/// Layer normalisation (Ba et al., 2016) over the channels of every pixel; its tensors are `<name>.weight` and `.bias`.
#[derive(Module, Debug)]
pub(crate) struct LayerNorm {
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
}

impl LayerNorm {
    pub(crate) fn new(b: &Builder, name: &str, channels: usize, epsilon: f64) -> Self {
        let b = b.at(name);
        Self {
            gamma: b.parameter("weight", [channels], Init::Constant(1.0)),
            beta: b.parameter("bias", [channels], Init::Constant(0.0)),
            epsilon,
        }
    }

    pub(crate) fn forward(&self, x: Maps) -> Maps {
        x.apply(
            || Op::LayerNorm { weight: self.gamma.id.val() as usize, epsilon: self.epsilon },
            |s| s,
            |x, _| kernels::layer_norm(x, self.gamma.val(), self.beta.val(), self.epsilon),
        )
    }
}

/// A learned factor for each channel of a residual branch (Touvron et al., ICCV 2021); its tensor is `<name>`
/// `[channels, 1, 1]`.
#[derive(Module, Debug)]
pub(crate) struct LayerScale {
    scale: Param<Tensor<3>>,
}

impl LayerScale {
    pub(crate) fn new(b: &Builder, name: &str, channels: usize, initial: f32) -> Self {
        Self { scale: b.parameter(name, [channels, 1, 1], Init::Constant(initial)) }
    }

    /// `scale x`.
    pub(crate) fn forward(&self, x: Maps) -> Maps {
        x.apply(|| self.op(), |s| s, |x, _| self.scale(x, None))
    }

    /// `scale x + residual`.
    pub(crate) fn add(&self, x: Maps, residual: Maps) -> Maps {
        if x.id().is_some() {
            return self.forward(x).add(residual);
        }
        let residual = residual.into_tensor();
        x.apply(|| self.op(), |s| s, |x, _| self.scale(x, Some(residual)))
    }

    fn op(&self) -> Op {
        Op::Scale { weight: self.scale.id.val() as usize }
    }

    fn scale(&self, x: Tensor<4>, residual: Option<Tensor<4>>) -> Tensor<4> {
        let c = x.dims()[3];
        let nothing = Tensor::zeros([c], &x.device());
        kernels::scale_shift(x, self.scale.val().reshape([c]), nothing, residual, Activation::None)
            .into_tensor()
    }
}
