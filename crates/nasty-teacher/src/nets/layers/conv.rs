//! Convolution, alone and with the batch-norm that follows it.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use nasty_kernels::{self as kernels, Activation, ConvOptions, Precision};

use super::builder::Init;
use super::maps::Value;
use super::{AnyActivation, BatchNorm, Builder, DropPath, Maps, Mode, Pass};
use crate::nets::graph::Op;

/// Shape and geometry of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    input: usize,
    output: usize,
    side: usize,
    options: ConvOptions,
    bias: bool,
}

impl Kernel {
    /// `side` × `side` from `input` to `output` channels; output as large as the input (odd sides), no bias.
    pub(crate) fn new(side: usize, input: usize, output: usize) -> Self {
        let options = ConvOptions { stride: 1, padding: side / 2, groups: 1, precision: Precision::F32 };
        Self { input, output, side, options, bias: false }
    }

    pub(crate) fn stride(mut self, stride: usize) -> Self {
        self.options.stride = stride;
        self
    }

    pub(crate) fn padding(mut self, padding: usize) -> Self {
        self.options.padding = padding;
        self
    }

    pub(crate) fn groups(mut self, groups: usize) -> Self {
        self.options.groups = groups;
        self
    }

    pub(crate) fn biased(mut self) -> Self {
        self.bias = true;
        self
    }
}

/// A convolution; its tensors are `<name>.weight` and, if it has one, `<name>.bias`.
#[derive(Module, Debug)]
pub(crate) struct Conv {
    weight: Param<Tensor<4>>,
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    options: ConvOptions,
}

impl Conv {
    pub(crate) fn new(b: &Builder, name: &str, kernel: Kernel) -> Self {
        let Kernel { input, output, side, options, bias } = kernel;
        let b = b.at(name);
        let shape = [output, input / options.groups, side, side];
        let fan_in = shape[1] * side * side;
        Self {
            weight: b.parameter("weight", shape, Init::weight(b.scheme().conv, &shape)),
            bias: bias.then(|| b.parameter("bias", [output], Init::bias(b.scheme(), fan_in))),
            options,
        }
    }

    pub(crate) fn forward(&self, x: Maps) -> Maps {
        x.apply_to(
            || self.op(),
            |shape| self.output(shape),
            |x, pass| {
                let (weight, bias, options) = self.for_pass(pass);
                kernels::conv2d(x, weight, bias, options).into()
            },
        )
    }

    fn op(&self) -> Op {
        let ConvOptions { stride, padding, groups, .. } = self.options;
        Op::Conv {
            weight: self.weight.id.val() as usize,
            bias: self.bias.as_ref().map(|b| b.id.val() as usize),
            side: self.weight.lazy_shape()[2],
            stride,
            padding,
            groups,
        }
    }

    /// Height, width and channels of the output.
    fn output(&self, [h, w, _]: [usize; 3]) -> [usize; 3] {
        let [output, _, side, _] = self.weight.lazy_shape().dims();
        let length = |l: usize| (l + 2 * self.options.padding - side) / self.options.stride + 1;
        [length(h), length(w), output]
    }

    fn for_pass(&self, pass: &Pass) -> (Tensor<4>, Option<Tensor<1>>, ConvOptions) {
        let options = ConvOptions { precision: pass.precision, ..self.options };
        (self.weight.val(), self.bias.as_ref().map(|b| b.val()), options)
    }
}

/// Convolution, batch-norm, and what is asked for behind them, as one call.
#[derive(Module, Debug)]
pub(crate) struct ConvBn {
    conv: Conv,
    norm: BatchNorm,
}

impl ConvBn {
    pub(crate) fn new(b: &Builder, conv: &str, norm: &str, kernel: Kernel) -> Self {
        Self { conv: Conv::new(b, conv, kernel), norm: BatchNorm::new(b, norm, kernel.output) }
    }

    /// With another ε and momentum of the batch-norm than 1e-5 and 0.1.
    pub(crate) fn norm(self, epsilon: f64, momentum: f64) -> Self {
        Self { norm: self.norm.epsilon(epsilon).momentum(momentum), ..self }
    }

    /// Without activation.
    pub(crate) fn forward(&self, x: Maps) -> Maps {
        self.apply(x, None, Activation::None)
    }

    pub(crate) fn relu(&self, x: Maps) -> Maps {
        self.activate(x, Activation::Relu)
    }

    pub(crate) fn activate(&self, x: Maps, activation: impl Into<AnyActivation>) -> Maps {
        match activation.into() {
            AnyActivation::Clamp(activation) => self.apply(x, None, activation),
            AnyActivation::Curve(curve) => self.forward(x).curve(curve),
        }
    }

    /// `bn(conv(x)) + residual`.
    pub(crate) fn add(&self, x: Maps, residual: Maps) -> Maps {
        self.apply(x, Some(residual), Activation::None)
    }

    /// [`Self::add`] under stochastic depth.
    pub(crate) fn add_or_drop(&self, x: Maps, residual: Maps, path: DropPath) -> Maps {
        if x.drops(path) { self.forward(x).drop_path(path).add(residual) } else { self.add(x, residual) }
    }

    /// `relu(bn(conv(x)) + residual)`.
    pub(crate) fn add_relu(&self, x: Maps, residual: Maps) -> Maps {
        self.apply(x, Some(residual), Activation::Relu)
    }

    /// `activation(bn(conv(x)) + residual)` as one operation, unless someone wants to see what enters the batch-norm.
    fn apply(&self, x: Maps, residual: Option<Maps>, activation: Activation) -> Maps {
        let x = x.leaving(|shape| self.conv.output(shape));
        let Value::Real { x, pass } = x.0 else {
            return self.norm.forward(self.conv.forward(x), residual, activation);
        };
        if pass.statistics.is_some() {
            return self.norm.forward(self.conv.forward(Maps(Value::Real { x, pass })), residual, activation);
        }
        let (weight, bias, options) = self.conv.for_pass(&pass);
        let residual = residual.map(Maps::into_tensor);
        let y = match pass.mode_of(self.norm.number()) {
            Mode::Train => {
                let [n, h, w, c] = x.dims();
                let [h, w, c] = self.conv.output([h, w, c]);
                let epsilon = self.norm.epsilon;
                self.norm.by_batch([n, h, w, c], |gamma, beta| {
                    kernels::conv2d_batch_norm_train(
                        x, weight, bias, options, gamma, beta, epsilon, residual, activation,
                    )
                })
            }
            Mode::Eval => {
                let (scale, shift) = self.norm.scale_and_shift();
                kernels::conv2d_scale_shift(x, weight, bias, options, scale, shift, residual, activation)
            }
        };
        Maps(Value::Real { x: y, pass })
    }
}
