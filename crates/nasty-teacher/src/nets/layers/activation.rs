//! Activations, and gates of channels.

use nasty_kernels::{self as kernels, Activation, Curve};

use super::Maps;
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
    pub(super) fn gate(self, factors: Self) -> Self {
        self.join(factors, Op::Gate, |shape, _| shape, kernels::gate)
    }
}
