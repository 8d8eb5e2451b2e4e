//! Convolutions and linear layers of a plan as products of matrices: pixels, or the patches that they are computed from, times
//! the weights.

use std::ops::Range;

use super::fusible::{Affine, Finisher, Fusible, Weights};
use super::operation::{Cost, Operation, Part, Values};
use super::patches;
use super::simple::unread;
use crate::Activation;
use crate::conv::{ConvShape, Packed, Rows};
use crate::norm::Wide;
use crate::scratch::Scratch;
use crate::simd::{Element, Path};

/// A unit is some pixels along, and a tile of channels across.
pub(super) struct Product<E> {
    /// The weights of every group.
    groups: Vec<Packed<E>>,
    rows: Source,
    shape: ConvShape,
    path: Path,
    finisher: Finisher,
}

/// What the rows of the left matrix are.
enum Source {
    /// The pixels of x.
    Pixels,
    /// The pixels of `activation(scale x + shift)`.
    Affine { wide: Wide, activation: Activation },
    /// The pixels under the kernel, row by row; zeros outside of the image.
    Patches,
}

/// Pixels of a unit: a multiple of what the inner loops take at once.
const UNIT: usize = 12;
/// Approximate bytes of the rows and the results of a block, which stay in the second-level cache beside the weights.
const BLOCK: usize = 192 << 10;

impl<E: Element> Product<E> {
    pub(super) fn new(path: Path, shape: ConvShape, weights: Weights<'_>, finisher: Finisher) -> Self {
        let (inputs, outputs, taps) = (shape.cin / shape.groups, shape.cout / shape.groups, shape.taps());
        let len = inputs * taps;
        let mut weight = weights.weight.to_vec();
        if taps > 1 {
            // Channels of a tap are neighbours in a patch.
            for (to, from) in weight.chunks_exact_mut(len).zip(weights.weight.chunks_exact(len)) {
                for (i, to) in to.iter_mut().enumerate() {
                    *to = from[i % inputs * taps + i / inputs];
                }
            }
        }
        let of_group = weight.chunks_exact(outputs * len).zip(weights.bias.chunks_exact(outputs));
        let groups =
            of_group.map(|(weight, bias)| Packed::product(path, [len, outputs], weight, bias)).collect();
        let rows = if shape.is_pointwise() { Source::Pixels } else { Source::Patches };
        Self { groups, rows, shape, path, finisher }
    }

    /// Elements of a row.
    fn row(&self) -> usize {
        self.shape.cin / self.shape.groups * self.shape.taps()
    }

    /// The outputs of a block of pixels.
    ///
    /// # Safety
    /// As of [`Operation::part`].
    unsafe fn block(&self, pixels: Range<usize>, tiles: &Range<usize>, values: &Values<'_>) {
        let s = &self.shape;
        let (row, outputs) = (self.row(), s.cout / s.groups);
        let x = values.inputs[0];
        let copied = match self.rows {
            Source::Pixels => 0,
            _ => pixels.len() * row,
        };
        let mut scratch = Scratch::take(copied);
        let copy = &mut scratch.elements::<f32>()[..copied];
        let tiles_of_group = self.groups[0].tiles();
        for (group, packed) in self.groups.iter().enumerate() {
            let first = group * tiles_of_group;
            let some = tiles.start.saturating_sub(first)..tiles.end.saturating_sub(first).min(tiles_of_group);
            if some.is_empty() {
                continue;
            }
            let of_pixels = || &x[pixels.start * s.cin..pixels.end * s.cin];
            let x = match &self.rows {
                Source::Pixels => of_pixels(),
                Source::Affine { wide, activation } => {
                    wide.pixels(of_pixels(), *activation, unread(copy));
                    &*copy
                }
                Source::Patches => {
                    patches::copy(self.path, s, group, pixels.clone(), x, copy);
                    &*copy
                }
            };
            let rows = Rows {
                x,
                first: pixels.start * s.cout + group * outputs,
                stride: s.cout,
                finish: self.finisher.finish(values, group * packed.width()),
                ahead: Default::default(),
            };
            // SAFETY: the caller's promise.
            unsafe { packed.rows(pixels.len(), rows, some, values.output()) };
        }
    }
}

impl<E: Element> Operation for Product<E> {
    fn name(&self) -> &'static str {
        match self.rows {
            Source::Pixels => "pixels times weights",
            Source::Affine { .. } => "normalised pixels times weights",
            Source::Patches => "patches times weights",
        }
    }

    fn extent(&self, images: usize) -> [usize; 2] {
        let s = &self.shape;
        [(images * s.oh * s.ow).div_ceil(UNIT), self.groups.len() * self.groups[0].tiles()]
    }

    fn cost(&self) -> Cost {
        let s = &self.shape;
        let (pixels, row) = (s.oh * s.ow, self.row().div_ceil(E::VALUES));
        let outputs = s.cout.div_ceil(16);
        Cost {
            image: pixels * row * outputs,
            along: row * outputs * 4,
            across: match self.rows {
                Source::Pixels => pixels * row.div_ceil(16) * 4,
                _ => pixels * row.div_ceil(16) * 8 * s.groups,
            },
        }
    }

    unsafe fn part(&self, images: usize, [units, tiles]: Part, values: &Values<'_>) {
        let s = &self.shape;
        let all = images * s.oh * s.ow;
        let (start, end) = (units.start * UNIT, (units.end * UNIT).min(all));
        let block = (BLOCK / (4 * (self.row() + s.cout)) / UNIT).clamp(1, 20) * UNIT;
        for first in (start..end).step_by(block) {
            // SAFETY: the caller's promise.
            unsafe { self.block(first..(first + block).min(end), &tiles, values) };
        }
    }
}

impl<E: Element> Fusible for Product<E> {
    fn takes_prologue(&self) -> bool {
        matches!(self.rows, Source::Pixels)
    }

    fn takes_second(&self) -> bool {
        self.finisher.second.is_none()
    }

    fn set_prologue(&mut self, scale: Vec<f32>, shift: Vec<f32>, activation: Activation) {
        let wide = Wide::of_scale_shift(scale, shift);
        self.rows = Source::Affine { wide, activation };
    }

    fn set_second(&mut self, scale: Vec<f32>, shift: Vec<f32>, activation: Activation) {
        let outputs = self.shape.cout / self.shape.groups;
        let pad = |values: Vec<f32>| -> Vec<f32> {
            values.chunks_exact(outputs).flat_map(|values| self.groups[0].pad(values)).collect()
        };
        let [scale, shift] = [scale, shift].map(pad);
        self.finisher.second = Some(Affine { scale, shift, activation });
    }
}
