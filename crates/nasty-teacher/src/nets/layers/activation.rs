//! Activations, and gates of channels that use them.

use burn::module::Module;
use nasty_kernels::{self as kernels, Activation, Curve};

use super::{Builder, Conv, Kernel, Maps};
use crate::nets::graph::Op;

/// Any activation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AnyActivation {
    /// One that the operation before computes on its way.
    Clamp(Activation),
    /// One that is computed by itself.
    Curve(Curve),
}

impl From<Activation> for AnyActivation {
    fn from(activation: Activation) -> Self {
        Self::Clamp(activation)
    }
}

impl From<Curve> for AnyActivation {
    fn from(curve: Curve) -> Self {
        Self::Curve(curve)
    }
}

impl Maps {
    /// The activation alone.
    pub(crate) fn activate(self, activation: impl Into<AnyActivation>) -> Self {
        match activation.into() {
            AnyActivation::Clamp(Activation::None) => self,
            AnyActivation::Clamp(activation) => {
                self.apply(|| Op::Activate(activation), |s| s, |x, _| kernels::activate(x, activation))
            }
            AnyActivation::Curve(curve) => self.curve(curve),
        }
    }

    pub(crate) fn curve(self, curve: Curve) -> Self {
        self.apply(|| Op::Curve(curve), |s| s, |x, _| kernels::curve(x, curve))
    }

    /// Every channel times that of `factors`, maps of one pixel.
    fn gate(self, factors: Self) -> Self {
        self.join(factors, Op::Gate, |shape, _| shape, kernels::gate)
    }
}

/// Squeeze and excitation (Hu et al., CVPR 2018): factors of the channels from their means, by two 1×1 convolutions.
#[derive(Module, Debug)]
pub(crate) struct SqueezeExcite {
    reduce: Conv,
    expand: Conv,
    #[module(skip)]
    activation: AnyActivation,
    #[module(skip)]
    gate: Curve,
}

impl SqueezeExcite {
    /// Its convolutions are called `names`; `activation` is between them, `gate` behind both.
    pub(crate) fn new(
        b: &Builder,
        names: [&str; 2],
        [channels, squeezed]: [usize; 2],
        activation: AnyActivation,
        gate: Curve,
    ) -> Self {
        Self {
            reduce: Conv::new(b, names[0], Kernel::new(1, channels, squeezed).biased()),
            expand: Conv::new(b, names[1], Kernel::new(1, squeezed, channels).biased()),
            activation,
            gate,
        }
    }

    pub(crate) fn forward(&self, mut x: Maps) -> Maps {
        let means = x.fork().global_pool();
        let squeezed = self.reduce.forward(means).activate(self.activation);
        x.gate(self.expand.forward(squeezed).curve(self.gate))
    }
}
