//! The fully connected layer.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

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
        let bias = if scheme.zero_bias { Init::Constant(0.0) } else { Init::default_bias(input) };
        Self {
            weight: b.parameter("weight", shape, Init::weight(scheme.linear, &shape)),
            bias: b.parameter("bias", [output], bias),
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
}
