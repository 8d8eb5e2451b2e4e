//! Convolutions of a plan: the same algorithms as in training, but with weights that were packed beforehand, and patches times
//! weights where training goes tap by tap through several images.

use super::depthwise::Depthwise;
use super::operation::{Operation, Values};
use super::product::Product;
use super::winograd::Transformed;
use crate::Activation;
use crate::Precision;
use crate::conv::{Algorithm, ConvShape, Finish, Second, choose};
use crate::simd::{Pair, Path};

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

/// Whether [`convolution`] of the shape can add a residual.
pub(super) fn adds_residual(path: Path, shape: &ConvShape, precision: Precision) -> bool {
    choose(shape, precision, path).algorithm != Algorithm::Depthwise
}

/// `activation(conv(x) + bias)`, or `activation(conv(x) + bias + residual)`; the shape is of one image.
pub(super) fn convolution(
    path: Path,
    shape: ConvShape,
    weights: Weights<'_>,
    residual: bool,
    activation: Activation,
) -> Convolution {
    let mut choice = choose(&shape, weights.precision, path);
    let exact = choose(&shape, Precision::F32, path);
    if choice.algorithm == Algorithm::Direct && exact.algorithm == Algorithm::Winograd {
        // Winograd's method takes fewer products in f32 than the direct sum takes pairs of bfloat16.
        choice = exact;
    }
    let finish = Finisher { activation, residual, second: None };
    // What decides is how many products share a rounded factor; a patch has as many as there are taps and inputs.
    let few = shape.cin / shape.groups * shape.taps() < LEAST_BF16_INPUTS;
    match (choice.algorithm, choice.forward) {
        (Algorithm::Depthwise, _) => Box::new(Depthwise::new(path, shape, weights, activation)),
        (Algorithm::Winograd, Precision::F32) => {
            Box::new(Transformed::<f32>::new(path, shape, weights, finish))
        }
        (Algorithm::Winograd, Precision::Bf16) => {
            Box::new(Transformed::<Pair>::new(path, shape, weights, finish))
        }
        (_, Precision::Bf16) if !few => Box::new(Product::<Pair>::new(path, shape, weights, finish)),
        _ => Box::new(Product::<f32>::new(path, shape, weights, finish)),
    }
}

/// With fewer inputs, rounding the factors to bfloat16 takes longer than it saves.
const LEAST_BF16_INPUTS: usize = 32;

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
