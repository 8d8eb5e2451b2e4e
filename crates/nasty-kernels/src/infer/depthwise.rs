//! Depthwise convolutions of a plan.

use super::fusible::{Fusible, Weights};
use super::operation::{Cost, Operation, Part, Values};
use crate::Activation;
use crate::conv::{ConvShape, Fusion, depthwise};
use crate::simd::Path;

/// A unit is a row of the output.
pub(super) struct Depthwise {
    gather: depthwise::Gather,
    shape: ConvShape,
    activation: Activation,
}

impl Depthwise {
    pub(super) fn new(path: Path, shape: ConvShape, weights: Weights<'_>, activation: Activation) -> Self {
        let gather = depthwise::Gather::forward(path, &shape, weights.weight, Some(weights.bias));
        Self { gather, shape, activation }
    }
}

impl Operation for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn extent(&self, images: usize) -> [usize; 2] {
        [images * self.shape.oh, 1]
    }

    fn cost(&self) -> Cost {
        let s = &self.shape;
        Cost { image: s.oh * s.ow * s.cout.div_ceil(16) * s.taps(), ..Cost::default() }
    }

    unsafe fn part(&self, _: usize, [rows, _]: Part, values: &Values<'_>) {
        let of_image = self.shape.oh;
        let fusion = Fusion { activation: self.activation, ..Fusion::default() };
        let mut first = rows.start;
        while first < rows.end {
            let image = first / of_image;
            let start = image * of_image;
            let end = rows.end.min(start + of_image);
            let some = first - start..end - start;
            let x = &values.inputs[0][self.gather.sources(image, &some)];
            // SAFETY: the caller's promise.
            unsafe { self.gather.some(image, some, x, values.output(), fusion, [&[]; 3]) };
            first = end;
        }
    }
}

impl Fusible for Depthwise {}
