//! Which algorithm computes a convolution: the only place where that is decided.
//!
//! The choice depends on the shape, the precision and the instruction set, never on the number of threads, so that results
//! do not depend on it either. `README.md` of this crate has the same rules as a table.

use super::geometry::{ConvShape, Taps};
use super::pack::CHUNK;
use super::weight::TASKS;
use super::winograd::{Grid, POINTS};
use super::{depthwise, pointwise};
use crate::Precision;
use crate::simd::Path;

/// How the forward pass and both gradients of a shape are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// One input and one output channel a group. Bound by memory, so always computed in f32.
    Depthwise,
    /// 1×1 with stride 1 and no padding: a product of matrices.
    Pointwise,
    /// 3×3 with stride 1 by Winograd's F(2 × 2, 3 × 3).
    Winograd,
    /// Tap by tap, for any geometry.
    Direct,
}

/// The result of [`choose`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) algorithm: Algorithm,
    /// Factors of the forward pass's products.
    pub(crate) forward: Precision,
    /// Factors of the gradients' products.
    pub(crate) backward: Precision,
    /// Whether both gradients are computed in one pass over x and dy. Only then can dy have a prologue.
    pub(crate) gradients_together: bool,
}

impl Choice {
    /// Whether x can have a prologue. The other algorithms read a pixel several times, so they would repeat its work.
    pub(crate) fn takes_prologue(&self) -> bool {
        matches!(self.algorithm, Algorithm::Depthwise | Algorithm::Pointwise)
    }
}

/// With fewer input channels, rounding the factors of a 1×1 convolution to bfloat16 takes longer than it saves.
const LEAST_BF16_POINTWISE: usize = 32;
/// With fewer channels a group, Winograd's transforms take longer than the products that it saves.
const LEAST_WINOGRAD: usize = 16;

/// Chooses the algorithm for a shape on an instruction set.
pub(crate) fn choose(shape: &ConvShape, precision: Precision, path: Path) -> Choice {
    let s = shape;
    if s.groups == s.cin && s.groups == s.cout {
        return Choice {
            algorithm: Algorithm::Depthwise,
            forward: Precision::F32,
            backward: Precision::F32,
            gradients_together: depthwise_gradients_together(s),
        };
    }
    if s.is_pointwise() {
        return Choice {
            algorithm: Algorithm::Pointwise,
            forward: if s.cin < LEAST_BF16_POINTWISE { Precision::F32 } else { precision },
            backward: precision,
            gradients_together: pointwise_gradients_together(s, path),
        };
    }
    let algorithm = if winograd_pays(s, precision) { Algorithm::Winograd } else { Algorithm::Direct };
    Choice { algorithm, forward: precision, backward: precision, gradients_together: false }
}

/// Whether Winograd's method needs clearly fewer products than the direct sum, which skips taps outside of the image.
fn winograd_pays(s: &ConvShape, precision: Precision) -> bool {
    let inside = |length: usize, outputs: usize| -> usize {
        (0..outputs).map(|o| Taps::forward(o, 3, length, 1, s.padding).count).sum()
    };
    let grid = Grid::of([s.oh, s.ow]);
    let suits = |channels: usize| match precision {
        Precision::F32 => channels >= LEAST_WINOGRAD,
        // Two vectors of channels make one of pairs.
        Precision::Bf16 => channels.is_multiple_of(2 * CHUNK),
    };
    (s.kh, s.kw, s.stride) == (3, 3, 1)
        && s.padding <= 2
        && suits(s.cin / s.groups)
        && suits(s.cout / s.groups)
        && 5 * POINTS * grid.rows * grid.columns <= 4 * inside(s.h, s.oh) * inside(s.w, s.ow)
}

/// A depthwise convolution computes both gradients an image at a time, if there are enough images for all tasks and an
/// image stays in the second-level cache.
fn depthwise_gradients_together(s: &ConvShape) -> bool {
    s.n >= TASKS && 4 * s.h * s.w * s.cin <= depthwise::MOST_IMAGE_BYTES
}

/// A 1×1 convolution computes both gradients block by block, unless the sums of the weight's gradient are too large for the
/// cache beside a block, or larger than x and dy themselves.
fn pointwise_gradients_together(s: &ConvShape, path: Path) -> bool {
    let (sums, slots) = pointwise::gradient_sums(path, s.cin, s.cout);
    let tensors = s.n * s.h * s.w * (s.cin + s.cout);
    4 * sums <= pointwise::MOST_SUM_BYTES && 4 * slots * sums <= tensors
}
