//! The gradient of the weight: the matrix product of xᵀ `[inputs, pixels]` and dy `[pixels, outputs]`.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::super::pack::{Tile, tiles};
use super::super::weight::{TASKS, add_slots};
use crate::scratch::Scratch;
use crate::simd::{Element, Isa, Job, Path};

/// Approximate bytes of a task's sums.
const SUMS: usize = 144 << 10;
/// Approximate bytes of the pixels of one pass over a task's sums.
const PIXELS: usize = 256 << 10;
/// The most pixels of one pass: a tile of their dy stays in the first-level cache.
const MOST_PIXELS: usize = 128;
/// How many pixels ahead of the computation is prefetched.
const AHEAD: usize = 8;

/// How the gradient is split into sums: by inputs or outputs, and by pixels. The split depends on the shape alone, so results
/// are the same with any number of threads.
pub(super) struct Plan {
    path: Path,
    inputs: usize,
    outputs: usize,
    tiles: Vec<Tile>,
    /// Width of all tiles, padding included.
    width: usize,
    /// Inputs of a part.
    some: usize,
    /// Tiles of a part.
    some_tiles: usize,
    /// Parts of the pixels.
    pub(super) slots: usize,
}

impl Plan {
    /// All inputs in one part.
    pub(super) fn whole(path: Path, inputs: usize, outputs: usize) -> Self {
        let (tiles, width) = tiles(2, outputs, path.lanes());
        let some_tiles = tiles.len();
        Self { path, inputs, outputs, tiles, width, some: inputs, some_tiles, slots: TASKS }
    }

    /// Split by channels until a part's sums fit the caches, then by pixels. Every part reads all channels of the other
    /// tensor, so the tensor with more channels is split.
    fn cut(path: Path, inputs: usize, outputs: usize, pixels: usize) -> Self {
        let mut plan = Self::whole(path, inputs, outputs);
        let parts = (4 * plan.len()).div_ceil(SUMS);
        let parts = if outputs > inputs {
            plan.some_tiles = plan.tiles.len().div_ceil(parts);
            plan.tiles.len().div_ceil(plan.some_tiles)
        } else {
            plan.some = inputs.div_ceil(parts.min(inputs.div_ceil(24))).next_multiple_of(4);
            inputs.div_ceil(plan.some)
        };
        plan.slots = TASKS.div_ceil(parts).min(pixels.div_ceil(MOST_PIXELS)).max(1);
        plan
    }

    /// Sums of a slot, as `[part of the inputs][tile][input][channel of the tile]`.
    pub(super) fn len(&self) -> usize {
        self.inputs * self.width
    }

    /// All inputs and outputs in one part.
    pub(super) fn part(&self) -> Part<'_> {
        Part { plan: self, inputs: 0..self.inputs, tiles: &self.tiles }
    }

    /// All parts, each with its share of a slot's sums.
    fn parts<'a>(&'a self, mut sums: &'a mut [f32]) -> Vec<(Part<'a>, &'a mut [f32])> {
        let mut parts = Vec::new();
        for first in (0..self.inputs).step_by(self.some) {
            for tiles in self.tiles.chunks(self.some_tiles) {
                let part = Part { plan: self, inputs: first..(first + self.some).min(self.inputs), tiles };
                let (of_part, rest) = sums.split_at_mut(part.inputs.len() * part.width());
                sums = rest;
                parts.push((part, of_part));
            }
        }
        parts
    }

    /// The pixels of a slot.
    pub(super) fn pixels(&self, slot: usize, pixels: usize) -> Range<usize> {
        slot * pixels / self.slots..(slot + 1) * pixels / self.slots
    }

    /// The gradient of the weight `[outputs, inputs]`.
    pub(super) fn total(&self, sums: &mut [f32]) -> Vec<f32> {
        let Self { inputs, outputs, width, some, .. } = *self;
        let sums = add_slots(sums, self.len());
        let mut dw = vec![0.0; inputs * outputs];
        dw.par_chunks_mut(self.tiles[0].len * inputs).zip(&self.tiles).for_each(|(dw, tile)| {
            let width_of_tile = tile.vectors * self.path.lanes();
            for first in (0..inputs).step_by(some) {
                let count = (inputs - first).min(some);
                let sums = &sums[first * width + count * tile.offset..][..count * width_of_tile];
                // A few inputs at a time, so that both arrays stay in the first-level cache.
                for (i, sums) in sums.chunks(16 * width_of_tile).enumerate() {
                    for (d, dw) in dw.chunks_exact_mut(inputs).enumerate() {
                        let sums = sums[d..].iter().step_by(width_of_tile);
                        dw[first + i * 16..].iter_mut().zip(sums).for_each(|(dw, sum)| *dw = *sum);
                    }
                }
            }
        });
        dw
    }
}

/// The inputs and outputs whose sums a task computes.
pub(super) struct Part<'a> {
    plan: &'a Plan,
    inputs: Range<usize>,
    tiles: &'a [Tile],
}

impl Part<'_> {
    /// Its outputs.
    fn outputs(&self) -> Range<usize> {
        let [first, last] = [self.tiles[0], self.tiles[self.tiles.len() - 1]];
        first.start..last.start + last.len
    }

    /// Its outputs, padded to whole vectors.
    fn width(&self) -> usize {
        self.tiles.iter().map(|tile| tile.vectors).sum::<usize>() * self.plan.path.lanes()
    }
}

/// The sums of one slot when both gradients are computed together, and the number of slots.
pub(in super::super) fn gradient_sums(path: Path, inputs: usize, outputs: usize) -> (usize, usize) {
    let plan = Plan::whole(path, inputs, outputs);
    (plan.len(), plan.slots)
}

/// dw, computed with products of `E`.
pub(in super::super) fn backward_weight<E: Element>(
    path: Path,
    x: &[f32],
    dy: &[f32],
    inputs: usize,
    outputs: usize,
) -> Vec<f32> {
    let pixels = x.len() / inputs;
    assert_eq!([x.len(), dy.len()], [pixels * inputs, pixels * outputs], "the tasks' pointers rely on this");
    let plan = Plan::cut(path, inputs, outputs, pixels);
    let len = plan.len();
    let mut scratch = Scratch::take(len * plan.slots);
    let sums = &mut scratch.elements::<f32>()[..len * plan.slots];
    let tasks: Vec<_> = sums
        .chunks_exact_mut(len)
        .enumerate()
        .flat_map(|(slot, sums)| {
            let pixels = plan.pixels(slot, pixels);
            plan.parts(sums).into_iter().map(move |(part, sums)| (pixels.clone(), part, sums))
        })
        .collect();
    tasks.into_par_iter().for_each(|(pixels, part, sums)| {
        sums.fill(0.0);
        let x = &x[pixels.start * inputs..pixels.end * inputs];
        let dy = &dy[pixels.start * outputs..pixels.end * outputs];
        path.run(Gradient::<E>::new(part, x, dy, sums));
    });
    plan.total(sums)
}

/// Adds the products of some pixels to a part's sums `[tile][input][channel of the tile]`.
pub(super) struct Gradient<'a, E> {
    part: Part<'a>,
    /// Of the same pixels as dy.
    x: &'a [f32],
    dy: &'a [f32],
    sums: &'a mut [f32],
    element: PhantomData<E>,
}

impl<'a, E> Gradient<'a, E> {
    pub(super) fn new(part: Part<'a>, x: &'a [f32], dy: &'a [f32], sums: &'a mut [f32]) -> Self {
        Self { part, x, dy, sums, element: PhantomData }
    }
}

impl<E: Element> Job for Gradient<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { part, x, dy, sums, .. } = self;
        let Plan { inputs, outputs, .. } = *part.plan;
        let pixels = x.len() / inputs;
        assert_eq!(dy.len(), pixels * outputs, "the pointers rely on this");
        let (some_inputs, some_outputs) = (part.inputs.len(), part.outputs());
        let block = (PIXELS / (4 * (some_inputs + part.width()))).clamp(32, MOST_PIXELS) / 2 * 2;
        let packed = if E::VALUES == 1 { 0 } else { block.div_ceil(2) };
        let mut x_scratch = Scratch::take(packed * some_inputs);
        let mut dy_scratch = Scratch::take(packed * some_outputs.len());
        for first in (0..pixels).step_by(block) {
            let count = (pixels - first).min(block);
            let x = &x[first * inputs..][..count * inputs];
            let dy = &dy[first * outputs..][..count * outputs];
            let steps = count.div_ceil(E::VALUES);
            let (x, x_row, dy, dy_row) = if E::VALUES == 1 {
                (x[part.inputs.start..].as_ptr(), inputs, dy[some_outputs.start..].as_ptr(), outputs)
            } else {
                let x_to = &mut x_scratch.elements::<E>()[..steps * some_inputs];
                pack_pixels::<I, E>(x, inputs, part.inputs.clone(), x_to);
                let dy_to = &mut dy_scratch.elements::<E>()[..steps * some_outputs.len()];
                pack_pixels::<I, E>(dy, outputs, some_outputs.clone(), dy_to);
                (x_to.as_ptr().cast(), some_inputs, dy_to.as_ptr().cast(), some_outputs.len())
            };
            let mut rest = &mut *sums;
            for tile in part.tiles {
                let tile_width = tile.vectors * I::LANES;
                let (sums, others) = rest.split_at_mut(some_inputs * tile_width);
                rest = others;
                let products = Products {
                    x,
                    x_row,
                    dy: dy.wrapping_add(tile.start - some_outputs.start),
                    dy_row,
                    steps,
                    len: tile.len,
                    element: PhantomData::<E>,
                };
                // SAFETY: a job runs, so the instruction set is supported; the rows of x hold at least all inputs and those
                // of dy all outputs, for `steps` rows.
                unsafe {
                    match (tile.vectors, tile.len == tile_width) {
                        (1, true) => products.all::<I, 1, true>(sums),
                        (1, false) => products.all::<I, 1, false>(sums),
                        (_, true) => products.all::<I, 2, true>(sums),
                        (_, false) => products.all::<I, 2, false>(sums),
                    }
                }
            }
        }
    }
}

/// Packs some channels of two pixels at a time; the partner of an odd last pixel is zero.
#[inline(always)]
fn pack_pixels<I: Isa, E: Element>(from: &[f32], channels: usize, some: Range<usize>, to: &mut [E]) {
    let zeros = [0.0; 16];
    for (pixels, to) in from.chunks(2 * channels).zip(to.chunks_exact_mut(some.len())) {
        let one = &pixels[some.clone()];
        let two = pixels.get(channels..2 * channels).map(|pixel| &pixel[some.clone()]);
        for start in (0..to.len()).step_by(I::LANES) {
            let to = &mut to[start..];
            let len = to.len().min(I::LANES);
            let one = &one[start..][..len];
            let two = two.map_or(&zeros[..len], |two| &two[start..][..len]);
            // SAFETY: a job runs; all have `len` elements.
            unsafe {
                if len == I::LANES {
                    let packed = E::pack_lanes::<I>(I::load(one.as_ptr()), I::load(two.as_ptr()));
                    I::store(to.as_mut_ptr().cast(), packed);
                } else {
                    let (one, two) = (I::load_first(one.as_ptr(), len), I::load_first(two.as_ptr(), len));
                    I::store_first(to.as_mut_ptr().cast(), len, E::pack_lanes::<I>(one, two));
                }
            }
        }
    }
}

/// Pixels (or pairs of pixels) whose products are summed for a tile. The pointers are to elements of four bytes.
struct Products<E> {
    x: *const f32,
    x_row: usize,
    dy: *const f32,
    dy_row: usize,
    steps: usize,
    /// Channels of the tile.
    len: usize,
    element: PhantomData<E>,
}

impl<E: Element> Products<E> {
    /// Adds to the sums of all inputs, at a time as many as stay in registers.
    #[inline(always)]
    unsafe fn all<I: Isa, const V: usize, const WHOLE: bool>(&self, sums: &mut [f32]) {
        let (mut sums, mut x) = (sums, self.x);
        while !sums.is_empty() {
            // SAFETY: the caller's promise: x has as many inputs as there are sums.
            let some = unsafe {
                match sums.len() / (V * I::LANES) {
                    12 | 20.. if I::IMAGES == 8 => self.some::<I, 12, V, WHOLE>(x, sums),
                    8.. if I::IMAGES == 8 => self.some::<I, 8, V, WHOLE>(x, sums),
                    4.. => self.some::<I, 4, V, WHOLE>(x, sums),
                    _ => self.some::<I, 1, V, WHOLE>(x, sums),
                }
            };
            sums = &mut sums[some * V * I::LANES..];
            x = x.wrapping_add(some);
        }
    }

    #[inline(always)]
    unsafe fn some<I: Isa, const C: usize, const V: usize, const WHOLE: bool>(
        &self,
        x: *const f32,
        to: &mut [f32],
    ) -> usize {
        let to = to[..C * V * I::LANES].as_mut_ptr();
        // SAFETY: as above.
        unsafe {
            let mut sums = [[I::zero(); V]; C];
            for step in 0..self.steps {
                let dy = self.dy.add(step * self.dy_row);
                let x = x.add(step * self.x_row);
                if E::VALUES == 1 {
                    // The hardware does not prefetch rows this far apart, and they evict each other from the first-level cache.
                    let (x, dy) = (x.wrapping_add(AHEAD * self.x_row), dy.wrapping_add(AHEAD * self.dy_row));
                    I::prefetch(x);
                    I::prefetch(x.wrapping_add(C - 1));
                    for v in 0..V {
                        I::prefetch(dy.wrapping_add(v * I::LANES));
                    }
                }
                let mut d = [I::zero(); V];
                for (v, d) in d.iter_mut().enumerate() {
                    let dy = dy.add(v * I::LANES);
                    *d = if WHOLE { I::load(dy) } else { I::load_first(dy, self.len - v * I::LANES) };
                }
                for (c, sums) in sums.iter_mut().enumerate() {
                    let x = I::splat(x.add(c));
                    for (sum, d) in sums.iter_mut().zip(d) {
                        *sum = E::multiply_add::<I>(d, x, *sum);
                    }
                }
            }
            // Partial sums are added up, because one long sum would lose digits.
            for (c, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    let to = to.add((c * V + v) * I::LANES);
                    I::store(to, I::add(I::load(to), *sum));
                }
            }
        }
        C
    }
}
