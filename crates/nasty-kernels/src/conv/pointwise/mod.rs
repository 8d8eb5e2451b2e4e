//! 1×1 convolution with stride 1 and no padding: the matrix product of x `[pixels, inputs]` and the weight. f32 is read
//! from the tensor directly; pairs of bfloat16 are packed first, a block of pixels at a time.

mod both;
mod weight;

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::ahead::Ahead;
use super::fusion::{Epilogue, Fusion};
use super::geometry::ConvShape;
use super::output::{Output, Shared};
use super::pack::{CHUNK, Tile, WeightOrder, tiles};
use crate::scratch::Scratch;
use crate::simd::{Element, Isa, Job, Path};

pub(super) use self::both::{MOST_SUM_BYTES, backward};
pub(super) use self::weight::{backward_weight, gradient_sums};

/// Approximate bytes of a task's inputs and outputs; they stay in the second-level cache beside the weights.
const BLOCK: usize = 192 << 10;
/// Inputs (or pairs of inputs) whose weights are packed at a time.
const PACKED: usize = 128;
/// Elements of a page. Cache lines a multiple of it apart share a set of the first-level cache.
const PAGE: usize = 1024;

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
pub(super) struct Packed<E> {
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
        path: Path,
        [inputs, outputs]: [usize; 2],
        order: WeightOrder,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Self {
        // With 32 registers, three vectors of outputs share every input that is read.
        let vectors = if path.lanes() == 16 { 3 } else { 2 };
        let (tiles, width) = tiles(vectors, outputs, path.lanes());
        let mut padded = vec![0.0; width];
        if let Some(given) = bias {
            padded[..outputs].copy_from_slice(given);
        }
        let len = inputs.div_ceil(E::VALUES) * width;
        let weights = Scratch::take(len);
        let mut packed = Self { path, inputs, outputs, tiles, weights, bias: padded, element: PhantomData };
        packed.pack(weight, order, len);
        packed
    }

    pub(super) fn forward(path: Path, s: &ConvShape, weight: &[f32], bias: Option<&[f32]>) -> Self {
        let order = WeightOrder { group: 0, destination: s.cin, source: 1 };
        Self::new(path, [s.cin, s.cout], order, weight, bias)
    }

    /// The weight for the gradient of the input.
    fn transposed(path: Path, s: &ConvShape, weight: &[f32]) -> Self {
        let order = WeightOrder { group: 0, destination: 1, source: s.cin };
        Self::new(path, [s.cout, s.cin], order, weight, None)
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
        let y = y.at(at, len);
        assert_eq!(x.len(), pixels.len() * self.inputs, "the job's pointers rely on this");
        self.path.run(Block {
            packed: self,
            x,
            y,
            count: pixels.len(),
            bounds: fusion.activation.bounds(),
            ahead,
        });
        if let Some(epilogue) = fusion.epilogue {
            // SAFETY: the caller's promise; all these pixels have been written.
            epilogue(at, unsafe { std::slice::from_raw_parts_mut(y, len) });
        }
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

/// The outputs of some pixels.
struct Block<'a, E> {
    packed: &'a Packed<E>,
    /// Inputs of `count` pixels.
    x: &'a [f32],
    y: *mut f32,
    count: usize,
    bounds: Option<[f32; 2]>,
    ahead: Ahead<'a>,
}

impl<E: Element> Job for Block<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { packed, x, y, count, bounds, mut ahead } = self;
        let Packed { inputs, outputs, .. } = *packed;
        let row = inputs.div_ceil(E::VALUES);
        // Rows a multiple of a page apart would evict each other from the first-level cache.
        let apart = row.is_multiple_of(PAGE);
        let stride = row + if apart { CHUNK } else { 0 };
        let copied = E::VALUES == 2 || apart;
        let mut scratch = Scratch::take(if copied { count * stride } else { 0 });
        let x = if copied {
            let rows = &mut scratch.elements::<E>()[..count * stride];
            for (to, x) in rows.chunks_exact_mut(stride).zip(x.chunks_exact(inputs)) {
                pack_row::<I, E>(x, &mut to[..row]);
            }
            rows.as_ptr().cast()
        } else {
            x.as_ptr()
        };
        let all = packed.weights.read::<E>();
        for tile in &packed.tiles {
            let weights = &all[row * tile.offset..][..row * tile.vectors * I::LANES];
            let rows = Rows {
                x,
                row,
                stride,
                weights: weights.as_ptr().cast(),
                bias: packed.bias[tile.offset..][..tile.vectors * I::LANES].as_ptr(),
                y: y.wrapping_add(tile.start),
                outputs,
                len: tile.len,
                bounds,
                element: PhantomData::<E>,
            };
            // SAFETY: a job runs, so the instruction set is supported; x has `count` rows and y as many pixels, which no
            // other task writes.
            unsafe {
                match tile.vectors {
                    1 => rows.all::<I, 1>(count, &mut ahead),
                    2 => rows.all::<I, 2>(count, &mut ahead),
                    _ => rows.all::<I, 3>(count, &mut ahead),
                }
            }
        }
    }
}

/// Packs the values of a pixel.
#[inline(always)]
fn pack_row<I: Isa, E: Element>(x: &[f32], to: &mut [E]) {
    let step = I::LANES * E::VALUES;
    for (x, to) in x.chunks(step).zip(to.chunks_mut(I::LANES)) {
        let mut padded = [0.0; 32];
        let from = if x.len() == step {
            x
        } else {
            padded[..x.len()].copy_from_slice(x);
            &padded
        };
        // SAFETY: a job runs; `from` has at least `step` values, and no more than `to` holds is stored.
        unsafe {
            let packed = E::pack_neighbours::<I>(from.as_ptr());
            if to.len() == I::LANES {
                I::store(to.as_mut_ptr().cast(), packed);
            } else {
                I::store_first(to.as_mut_ptr().cast(), to.len(), packed);
            }
        }
    }
}

/// A tile of output channels for some pixels. The pointers are to elements of four bytes, `f32` or pairs.
struct Rows<E> {
    x: *const f32,
    /// Elements of a pixel's inputs.
    row: usize,
    /// Distance of two pixels in x.
    stride: usize,
    weights: *const f32,
    bias: *const f32,
    y: *mut f32,
    /// Distance of two pixels in y.
    outputs: usize,
    /// Channels of the tile.
    len: usize,
    bounds: Option<[f32; 2]>,
    element: PhantomData<E>,
}

impl<E: Element> Rows<E> {
    /// All `count` pixels. The last group overlaps the one before if the count is not a multiple of the group.
    #[inline(always)]
    unsafe fn all<I: Isa, const V: usize>(&self, count: usize, ahead: &mut Ahead<'_>) {
        // SAFETY: the caller's promise; only pixels below `count` are computed.
        unsafe {
            match count {
                // About twelve vectors of sums. More would fit the registers, but storing them at once waits longer for memory.
                6.. if I::IMAGES == 8 && V < 3 => self.some::<I, 6, V>(count, ahead),
                4.. => self.some::<I, 4, V>(count, ahead),
                _ => self.some::<I, 1, V>(count, ahead),
            }
        }
    }

    #[inline(always)]
    unsafe fn some<I: Isa, const P: usize, const V: usize>(&self, count: usize, ahead: &mut Ahead<'_>) {
        // SAFETY: as above.
        unsafe {
            for pixel in (0..count).step_by(P) {
                let pixel = pixel.min(count - P);
                let y = self.y.add(pixel * self.outputs);
                // Without a prefetch the stores would wait for their cache lines.
                for p in P..2 * P {
                    for v in 0..V {
                        I::prefetch_write(y.wrapping_add(p * self.outputs + v * I::LANES));
                    }
                }
                let mut sums = self.products::<I, P, V>(self.x.add(pixel * self.stride), ahead);
                if let Some([low, high]) = &self.bounds {
                    let (low, high) = (I::splat(low), I::splat(high));
                    for sum in sums.iter_mut().flatten() {
                        *sum = I::clamp(*sum, low, high);
                    }
                }
                if self.len == V * I::LANES {
                    for (p, sums) in sums.iter().enumerate() {
                        for (v, sum) in sums.iter().enumerate() {
                            I::store(y.add(p * self.outputs + v * I::LANES), *sum);
                        }
                    }
                } else {
                    for (p, sums) in sums.iter().enumerate() {
                        for (v, sum) in sums.iter().enumerate() {
                            let to = y.add(p * self.outputs + v * I::LANES);
                            I::store_first(to, self.len - v * I::LANES, *sum);
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn products<I: Isa, const P: usize, const V: usize>(
        &self,
        x: *const f32,
        ahead: &mut Ahead<'_>,
    ) -> [[I::V; V]; P] {
        // SAFETY: as above; the weights have a row of `V` vectors for each element.
        unsafe {
            let mut sums = [[I::zero(); V]; P];
            for v in 0..V {
                let bias = I::load(self.bias.add(v * I::LANES));
                for sums in &mut sums {
                    sums[v] = bias;
                }
            }
            for first in (0..self.row).step_by(CHUNK) {
                ahead.lines::<I>(P);
                // Unpacked pixels come from memory, and the hardware prefetcher does not follow several rows at once.
                if E::VALUES == 1 {
                    for p in P..2 * P {
                        I::prefetch(x.wrapping_add(p * self.stride + first));
                    }
                }
                for e in first..(first + CHUNK).min(self.row) {
                    let mut w = [I::zero(); V];
                    for (v, w) in w.iter_mut().enumerate() {
                        *w = I::load(self.weights.add((e * V + v) * I::LANES));
                    }
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let x = I::splat(x.add(p * self.stride + e));
                        for (sum, w) in sums.iter_mut().zip(w) {
                            *sum = E::multiply_add::<I>(w, x, *sum);
                        }
                    }
                }
            }
            sums
        }
    }
}
