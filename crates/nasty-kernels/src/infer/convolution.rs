//! Convolutions of a plan: the same algorithms as in training, but with weights that were packed beforehand, and patches times
//! weights where training goes tap by tap through several images.

use super::depthwise::Depthwise;
use super::fusible::{Convolution, Finisher, Weights};
use super::product::Product;
use super::winograd::Transformed;
use crate::Activation;
use crate::Precision;
use crate::conv::{Algorithm, ConvShape, choose};
use crate::simd::{Pair, Path};

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
