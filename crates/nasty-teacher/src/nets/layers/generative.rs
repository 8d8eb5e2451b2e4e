//! Layers that only generators of images need. A generator's graph is never recorded, so these layers take real
//! activations only.

use burn::module::Module;
use burn::tensor::{Tensor, activation};
use nasty_kernels::{self as kernels, Activation};

use super::norm::{EPSILON, MOMENTUM};
use super::{Builder, Maps, Mode, Pass, Running};
use crate::nets::graph::Op;

/// For [`Maps::apply`] of layers without an [`Op`].
fn no_graph() -> Op {
    unreachable!("a generator's graph is never written down")
}

impl Maps {
    /// The contrary of [`Maps::flatten`]: vectors in PyTorch's order (channel, row, column) as maps of `side` × `side`.
    pub(crate) fn unflatten(self, side: usize) -> Self {
        self.apply(
            no_graph,
            |s| s,
            |x, _| {
                let [n, _, _, c] = x.dims();
                x.reshape([n, c / (side * side), side, side]).permute([0, 2, 3, 1])
            },
        )
    }

    /// Every pixel as a block of 2×2 (nearest neighbour).
    pub(crate) fn double(self) -> Self {
        self.apply(
            no_graph,
            |s| s,
            |x, _| {
                let [n, h, w, c] = x.dims();
                x.reshape([n, h, 1, w, 1, c]).expand([n, h, 2, w, 2, c]).reshape([n, 2 * h, 2 * w, c])
            },
        )
    }

    /// x where positive, else `slope`·x.
    pub(crate) fn leaky_relu(self, slope: f64) -> Self {
        self.apply(no_graph, |s| s, |x, _| activation::leaky_relu(x, slope))
    }

    pub(crate) fn tanh(self) -> Self {
        self.apply(no_graph, |s| s, |x, _| x.tanh())
    }
}

/// Batch-norm without scale and shift (PyTorch's `affine=False`): every channel gets mean 0 and variance 1. Its
/// tensors are `<name>.running_mean` and `.running_var`.
#[derive(Module, Debug)]
pub(crate) struct Standardise {
    mean: Running,
    variance: Running,
}

impl Standardise {
    pub(crate) fn new(b: &Builder, name: &str, channels: usize) -> Self {
        let b = b.at(name);
        Self {
            mean: b.running("running_mean", channels, 0.0),
            variance: b.running("running_var", channels, 1.0),
        }
    }

    pub(crate) fn forward(&self, x: Maps) -> Maps {
        x.apply(no_graph, |s| s, |x, pass| self.standardise(x, pass))
    }

    fn standardise(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [n, h, w, c] = x.dims();
        match pass.mode {
            Mode::Train => {
                let (one, zero) = (Tensor::ones([c], &x.device()), Tensor::zeros([c], &x.device()));
                let out = kernels::batch_norm_train(x, one, zero, EPSILON, None, Activation::None);
                let samples = (n * h * w) as f64;
                self.mean.update(out.mean, MOMENTUM);
                self.variance.update(out.variance * (samples / (samples - 1.0).max(1.0)), MOMENTUM);
                out.y.into_tensor()
            }
            Mode::Eval => {
                let scale = (self.variance.value() + EPSILON).sqrt().recip();
                let shift = self.mean.value().neg() * scale.clone();
                kernels::scale_shift(x, scale, shift, None, Activation::None).into_tensor()
            }
        }
    }
}
