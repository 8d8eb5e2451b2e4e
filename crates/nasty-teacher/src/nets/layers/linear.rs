//! The fully connected layer.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use nasty_kernels::{self as kernels, ConvOptions};

use super::builder::Init;
use super::{Builder, Maps};
use crate::nets::graph::Op;

/// `x Wᵀ + b` on vectors; its tensors are `<name>.weight` `[out, in]` and `<name>.bias` `[out]`.
#[derive(Module, Debug)]
pub(crate) struct Linear {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Linear {
    pub(crate) fn new(b: &Builder, name: &str, input: usize, output: usize) -> Self {
        let b = b.at(name);
        let scheme = b.scheme();
        let shape = [output, input];
        Self {
            weight: b.parameter("weight", shape, Init::weight(scheme.linear, &shape)),
            bias: b.parameter("bias", [output], Init::bias(scheme, input)),
        }
    }

    pub(crate) fn forward(&self, x: Maps) -> Maps {
        let [output, _] = self.weight.lazy_shape().dims();
        x.apply(
            || Op::Linear { weight: self.weight.id.val() as usize },
            |_| [1, 1, output],
            |x, _| {
                let [n, _, _, c] = x.dims();
                let y = x.reshape([n, c]).matmul(self.weight.val().transpose());
                (y + self.bias.val().unsqueeze()).reshape([n, 1, 1, output])
            },
        )
    }
    /// The layer on the channels of every pixel: a 1×1 convolution.
    pub(crate) fn on_pixels(&self, x: Maps) -> Maps {
        let [output, input] = self.weight.lazy_shape().dims();
        let weight = self.weight.id.val() as usize;
        let bias = Some(self.bias.id.val() as usize);
        x.apply_to(
            || Op::Conv { weight, bias, side: 1, stride: 1, padding: 0, groups: 1 },
            |[h, w, _]| [h, w, output],
            |x, pass| {
                let options = ConvOptions { stride: 1, padding: 0, groups: 1, precision: pass.precision };
                let weight = self.weight.val().reshape([output, input, 1, 1]);
                kernels::conv2d(x, weight, Some(self.bias.val()), options).into()
            },
        )
    }
}
