//! 1×1 convolution with stride 1 and no padding: the matrix product of x `[pixels, inputs]` and the weight. f32 is read
//! from the tensor directly; pairs of bfloat16 are packed first, a block of pixels at a time.

mod both;
mod rows;
mod weight;

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::ahead::Ahead;
use super::finish::Finish;
use super::fusion::{Epilogue, Fusion};
use super::geometry::ConvShape;
use super::output::{Output, Shared};
use super::pack::{CHUNK, Tile, WeightOrder, even_tiles, tiles};
use crate::scratch::Scratch;
use crate::simd::{Element, Path};

pub(super) use self::both::{MOST_SUM_BYTES, backward};
use self::rows::Block;
pub(crate) use self::rows::Rows;
pub(super) use self::weight::{backward_weight, gradient_sums};

/// Approximate bytes of a task's inputs and outputs; they stay in the second-level cache beside the weights.
const BLOCK: usize = 192 << 10;
/// Inputs (or pairs of inputs) whose weights are packed at a time.
const PACKED: usize = 128;

/// y, computed with products of `E`.
pub(super) fn forward<E: Element>(
    path: Path,
    s: &ConvShape,
    fusion: Fusion<'_>,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    Packed::<E>::forward(path, s, weight, bias).run(s.n * s.h * s.w, fusion, x)
}

/// dx, computed with products of `E`.
pub(super) fn backward_input<E: Element>(
    path: Path,
    s: &ConvShape,
    epilogue: Option<&Epilogue<'_>>,
    weight: &[f32],
    dy: &[f32],
) -> Vec<f32> {
    let fusion = Fusion { epilogue, ..Fusion::default() };
    Packed::<E>::transposed(path, s, weight).run(s.n * s.h * s.w, fusion, dy)
}

/// The weight in the order in which the inner loop reads it. Forward it maps inputs to outputs; for the gradient of the input
/// the roles are swapped.
pub(crate) struct Packed<E> {
    path: Path,
    inputs: usize,
    outputs: usize,
    tiles: Vec<Tile>,
    /// As `[tile][element of the inputs][channel of the tile]`; unused places are zero.
    weights: Scratch,
    /// `[tile][channel of the tile]`, padded as the weights are.
    bias: Vec<f32>,
    element: PhantomData<E>,
}

impl<E: Element> Packed<E> {
    fn new(
        allocate: fn(usize) -> Scratch,
        path: Path,
        [inputs, outputs]: [usize; 2],
        (tiles, width): (Vec<Tile>, usize),
        order: WeightOrder,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Self {
        let mut padded = vec![0.0; width];
        if let Some(given) = bias {
            padded[..outputs].copy_from_slice(given);
        }
        let len = inputs.div_ceil(E::VALUES) * width;
        let weights = allocate(len);
        let mut packed = Self { path, inputs, outputs, tiles, weights, bias: padded, element: PhantomData };
        packed.pack(weight, order, len);
        packed
    }

    pub(super) fn forward(path: Path, s: &ConvShape, weight: &[f32], bias: Option<&[f32]>) -> Self {
        let order = WeightOrder { group: 0, destination: s.cin, source: 1 };
        Self::new(
            Scratch::take,
            path,
            [s.cin, s.cout],
            tiles(vectors(path), s.cout, path.lanes()),
            order,
            weight,
            bias,
        )
    }

    /// The weight for the gradient of the input.
    fn transposed(path: Path, s: &ConvShape, weight: &[f32]) -> Self {
        let order = WeightOrder { group: 0, destination: 1, source: s.cin };
        Self::new(
            Scratch::take,
            path,
            [s.cout, s.cin],
            tiles(vectors(path), s.cin, path.lanes()),
            order,
            weight,
            None,
        )
    }

    /// For products of any rows `[count, inputs]` with a weight `[outputs, inputs]`, in tiles of about the same width, so that
    /// they can be shared out. To be kept.
    pub(crate) fn product(path: Path, [inputs, outputs]: [usize; 2], weight: &[f32], bias: &[f32]) -> Self {
        let order = WeightOrder { group: 0, destination: inputs, source: 1 };
        let tiles = even_tiles(vectors(path), outputs, path.lanes());
        Self::new(Scratch::owned, path, [inputs, outputs], tiles, order, weight, Some(bias))
    }

    /// Number of tiles.
    pub(crate) fn tiles(&self) -> usize {
        self.tiles.len()
    }

    /// Width of all tiles, padding included.
    pub(crate) fn width(&self) -> usize {
        self.bias.len()
    }

    /// One value for each output as `[tile][channel of the tile]`, padded with zeros.
    pub(crate) fn pad(&self, values: &[f32]) -> Vec<f32> {
        let mut padded = vec![0.0; self.width()];
        for tile in &self.tiles {
            padded[tile.offset..][..tile.len].copy_from_slice(&values[tile.start..][..tile.len]);
        }
        padded
    }

    /// The outputs of all pixels.
    fn run(&self, pixels: usize, fusion: Fusion<'_>, x: &[f32]) -> Vec<f32> {
        assert_eq!(x.len(), pixels * self.inputs, "the tasks' pointers rely on this");
        let mut y = Output::new(pixels * self.outputs);
        let shared = y.share();
        let block = (BLOCK / (4 * (self.inputs + self.outputs)) / 24).max(2) * 24;
        (0..pixels.div_ceil(block)).into_par_iter().for_each(|i| {
            let pixels = i * block..((i + 1) * block).min(pixels);
            let some = pixels.start * self.inputs..pixels.end * self.inputs;
            let rest = &x[some.end..];
            let ahead = self.ahead([&rest[..rest.len().min(some.len())], &[], &[]], pixels.len());
            // SAFETY: no other task writes these pixels.
            fusion.x(some, x, |x| unsafe { self.some(pixels, x, shared, fusion, ahead) });
        });
        // SAFETY: the tasks cover all pixels, and each writes all outputs of its pixels.
        unsafe { y.finish() }
    }

    /// `parts` to be prefetched while `pixels` are computed.
    pub(super) fn ahead<'a>(&self, parts: [&'a [f32]; 3], pixels: usize) -> Ahead<'a> {
        Ahead::of(parts, self.tiles.len() * pixels * self.inputs.div_ceil(E::VALUES).div_ceil(CHUNK))
    }

    /// The outputs of some pixels from their inputs x, on the calling thread.
    ///
    /// # Safety
    /// No other thread reads or writes these pixels of y.
    pub(super) unsafe fn some(
        &self,
        pixels: Range<usize>,
        x: &[f32],
        y: Shared<'_>,
        fusion: Fusion<'_>,
        ahead: Ahead<'_>,
    ) {
        let (at, len) = (pixels.start * self.outputs, pixels.len() * self.outputs);
        let finish = Finish { bounds: fusion.activation.bounds(), ..Finish::default() };
        let rows = Rows { x, first: at, stride: self.outputs, finish, ahead };
        // SAFETY: the caller's promise.
        unsafe { self.rows(pixels.len(), rows, 0..self.tiles.len(), y) };
        if let Some(epilogue) = fusion.epilogue {
            // SAFETY: the caller's promise; all these pixels have been written.
            epilogue(at, unsafe { std::slice::from_raw_parts_mut(y.at(at, len), len) });
        }
    }

    /// Some tiles of the outputs of `count` rows, on the calling thread.
    ///
    /// # Safety
    /// No other thread reads or writes these elements of y and of the second result.
    pub(crate) unsafe fn rows(&self, count: usize, rows: Rows<'_>, tiles: Range<usize>, y: Shared<'_>) {
        if count == 0 {
            return;
        }
        assert_eq!(rows.x.len(), count * self.inputs, "the job's pointers rely on this");
        let len = (count - 1) * rows.stride + self.outputs;
        let y = y.at(rows.first, len);
        if let Some(residual) = rows.finish.residual {
            assert!(residual.len() >= rows.first + len, "the job's pointers rely on this");
        }
        self.path.run(Block { packed: self, rows, count, tiles, y });
    }

    fn pack(&mut self, weight: &[f32], order: WeightOrder, len: usize) {
        let lanes = self.path.lanes();
        let inputs = self.inputs;
        let elements = inputs.div_ceil(E::VALUES);
        let mut rest = &mut self.weights.elements::<E>()[..len];
        let parts: Vec<_> = self
            .tiles
            .iter()
            .map(|tile| {
                let (part, tail) = std::mem::take(&mut rest).split_at_mut(elements * tile.vectors * lanes);
                rest = tail;
                (tile, part)
            })
            .collect();
        // As wide as the widest tile.
        let zeros = [0.0; 48];
        parts.into_par_iter().for_each(|(tile, part)| {
            part.fill(E::default());
            let width = tile.vectors * lanes;
            if order.destination == 1 {
                // The weights of one input are adjacent in memory.
                let of = |input: usize| &weight[tile.start + input * order.source..][..tile.len];
                for (e, row) in part.chunks_exact_mut(width).enumerate() {
                    let input = e * E::VALUES;
                    let second = if E::VALUES == 2 && input + 1 < inputs { of(input + 1) } else { &zeros };
                    for ((to, a), b) in row.iter_mut().zip(of(input)).zip(second) {
                        *to = E::pack(*a, *b);
                    }
                }
                return;
            }
            // The weights of one output are adjacent. A block of inputs at a time, so that the lines written stay in the cache.
            for (block, rows) in part.chunks_mut(PACKED * width).enumerate() {
                let first = block * PACKED * E::VALUES;
                let count = (inputs - first).min(PACKED * E::VALUES);
                for d in 0..tile.len {
                    let values = &weight[(tile.start + d) * order.destination + first..][..count];
                    for (row, pair) in rows.chunks_exact_mut(width).zip(values.chunks(E::VALUES)) {
                        row[d] = E::pack(pair[0], pair.get(1).copied().unwrap_or(0.0));
                    }
                }
            }
        });
    }
}

/// Vectors of a tile. With 32 registers, three vectors of outputs share every input that is read.
fn vectors(path: Path) -> usize {
    if path.lanes() == 16 { 3 } else { 2 }
}
