//! What every algorithm of a convolution takes and offers: weights, what is done to the sums, and operations that it takes over.

use super::operation::{Operation, Values};
use crate::Activation;
use crate::Precision;
use crate::conv::{Finish, Second};

/// A convolution that may take over the scale and shift before it or after it.
pub(super) trait Fusible: Operation {
    /// Whether a scale and shift can be applied to x as it is read.
    fn takes_prologue(&self) -> bool {
        false
    }

    /// Whether a scaled and shifted copy of the result can be stored as a second output.
    fn takes_second(&self) -> bool {
        false
    }

    /// Reads `activation(scale x + shift)` in place of x.
    fn set_prologue(&mut self, _scale: Vec<f32>, _shift: Vec<f32>, _activation: Activation) {
        unreachable!("takes_prologue says no");
    }

    /// Stores `activation(scale y + shift)` as a second output.
    fn set_second(&mut self, _scale: Vec<f32>, _shift: Vec<f32>, _activation: Activation) {
        unreachable!("takes_second says no");
    }
}

/// A convolution ready to run.
pub(super) type Convolution = Box<dyn Fusible>;

/// The weight `[cout, cin / groups, kh, kw]`, the bias `[cout]` and the precision of the factors.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) precision: Precision,
}

/// What is done to a convolution's sums.
pub(super) struct Finisher {
    pub(super) activation: Activation,
    /// Whether the second input is added.
    pub(super) residual: bool,
    pub(super) second: Option<Affine>,
}

/// `activation(scale y + shift)`; the vectors are padded as the kernel's tiles are.
pub(super) struct Affine {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    pub(super) activation: Activation,
}

impl Finisher {
    /// For the channels from `padded` on, in the order of the kernel's tiles.
    pub(super) fn finish<'a>(&'a self, values: &Values<'a>, padded: usize) -> Finish<'a> {
        Finish {
            bounds: self.activation.bounds(),
            residual: self.residual.then_some(values.inputs[1]),
            second: self.second.as_ref().map(|affine| Second {
                scale: &affine.scale[padded..],
                shift: &affine.shift[padded..],
                bounds: affine.activation.bounds(),
                y: values.outputs[1].expect("a second output"),
            }),
        }
    }
}
