//! 1×1 convolution without stride or padding: a product of matrices, `[pixels, inputs]` with the weight, straight
//! from and to the tensors. Pairs of bfloat16 are first packed, a block of pixels at a time.

mod weight;

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::gather::Epilogue;
use super::output::{Output, Shared};
use super::pack::{CHUNK, Tile, WeightOrder, tiles};
use crate::scratch::Scratch;
use crate::simd::{Element, Isa, Job, Path};

pub(super) use self::weight::backward_weight;

/// Bytes of a task's pixels on both sides, about: they stay in the second-level cache beside the weights.
const BLOCK: usize = 192 << 10;

/// Every pixel's outputs from its inputs: forward, or the gradient of the input with the roles swapped.
pub(super) struct Pointwise<'a> {
    pub(super) pixels: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) order: WeightOrder,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) epilogue: Option<&'a Epilogue<'a>>,
}

impl Pointwise<'_> {
    /// The outputs, computed with products of `E`.
    pub(super) fn run<E: Element>(&self, path: Path, x: &[f32], weight: &[f32]) -> Vec<f32> {
        let (tiles, width) = tiles(self.outputs, path.lanes());
        let elements = self.inputs.div_ceil(E::VALUES);
        let mut scratch = Scratch::take(elements * width);
        let weights = &mut scratch.elements::<E>()[..elements * width];
        self.pack(weight, &tiles, path.lanes(), weights);
        let mut bias = vec![0.0; width];
        if let Some(given) = self.bias {
            bias[..self.outputs].copy_from_slice(given);
        }

        assert_eq!(x.len(), self.pixels * self.inputs, "the tasks' pointers rely on this");
        let mut y = Output::new(self.pixels * self.outputs);
        let shared = y.share();
        let block = (BLOCK / (4 * (self.inputs + self.outputs)) / 24).max(1) * 24;
        (0..self.pixels.div_ceil(block)).into_par_iter().for_each(|i| {
            let pixels = i * block..((i + 1) * block).min(self.pixels);
            path.run(Block { all: self, tiles: &tiles, x, weights, bias: &bias, y: shared, pixels });
        });
        // SAFETY: the tasks cover all pixels, and every task writes all outputs of its own.
        unsafe { y.finish() }
    }

    /// The weight as `[tile][element of the inputs][channel of the tile]`; unused places are zero.
    fn pack<E: Element>(&self, weight: &[f32], tiles: &[Tile], lanes: usize, packed: &mut [E]) {
        let elements = self.inputs.div_ceil(E::VALUES);
        let mut rest = packed;
        let parts: Vec<_> = tiles
            .iter()
            .map(|tile| {
                let (part, tail) = std::mem::take(&mut rest).split_at_mut(elements * tile.vectors * lanes);
                rest = tail;
                (tile, part)
            })
            .collect();
        parts.into_par_iter().for_each(|(tile, part)| {
            for (e, row) in part.chunks_exact_mut(tile.vectors * lanes).enumerate() {
                let (used, unused) = row.split_at_mut(tile.len);
                unused.fill(E::default());
                let input = e * E::VALUES;
                for (d, to) in used.iter_mut().enumerate() {
                    let at = (tile.start + d) * self.order.destination + input * self.order.source;
                    let paired = E::VALUES == 2 && input + 1 < self.inputs;
                    *to = E::pack(weight[at], if paired { weight[at + self.order.source] } else { 0.0 });
                }
            }
        });
    }
}

/// The work of a task.
struct Block<'a, E> {
    all: &'a Pointwise<'a>,
    tiles: &'a [Tile],
    x: &'a [f32],
    weights: &'a [E],
    bias: &'a [f32],
    y: Shared<'a>,
    pixels: Range<usize>,
}

impl<E: Element> Job for Block<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Pointwise { inputs, outputs, .. } = *self.all;
        let count = self.pixels.len();
        let x = &self.x[self.pixels.start * inputs..self.pixels.end * inputs];
        let row = inputs.div_ceil(E::VALUES);
        let mut scratch = Scratch::take(if E::VALUES == 1 { 0 } else { count * row });
        let x = if E::VALUES == 1 {
            x.as_ptr()
        } else {
            let packed = &mut scratch.elements::<E>()[..count * row];
            for (to, x) in packed.chunks_exact_mut(row).zip(x.chunks_exact(inputs)) {
                pack_row::<I, E>(x, to);
            }
            packed.as_ptr().cast()
        };
        let at = self.pixels.start * outputs;
        let y = self.y.at(at, count * outputs);
        for tile in self.tiles {
            let weights = &self.weights[row * tile.offset..][..row * tile.vectors * I::LANES];
            let rows = Rows {
                x,
                row,
                weights: weights.as_ptr().cast(),
                bias: self.bias[tile.offset..][..tile.vectors * I::LANES].as_ptr(),
                y: y.wrapping_add(tile.start),
                outputs,
                len: tile.len,
                element: PhantomData::<E>,
            };
            // SAFETY: the instruction set is there, for a job runs; x has `count` rows and y as many pixels, both
            // this task's.
            unsafe { if tile.vectors == 1 { rows.all::<I, 1>(count) } else { rows.all::<I, 2>(count) } }
        }
        if let Some(epilogue) = self.all.epilogue {
            // SAFETY: these pixels are this task's alone, and all have been written.
            epilogue(at, unsafe { std::slice::from_raw_parts_mut(y, count * outputs) });
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
        // SAFETY: a job runs; `from` has at least `step` values, and as much of a vector as `to` holds is stored.
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

/// A tile of channels of some pixels. The pointers are to elements of four bytes, `f32` or pairs.
struct Rows<E> {
    x: *const f32,
    /// From one pixel to the next in x, and the products of a pixel.
    row: usize,
    weights: *const f32,
    bias: *const f32,
    y: *mut f32,
    /// From one pixel to the next in y.
    outputs: usize,
    /// Channels of the tile.
    len: usize,
    element: PhantomData<E>,
}

impl<E: Element> Rows<E> {
    /// All `count` pixels; the last lap over those before.
    #[inline(always)]
    unsafe fn all<I: Isa, const V: usize>(&self, count: usize) {
        // SAFETY: the caller's promise; pixels below `count` are computed.
        unsafe {
            match count {
                12.. if I::IMAGES == 8 => self.some::<I, 12, V>(count),
                4.. => self.some::<I, 4, V>(count),
                _ => self.some::<I, 1, V>(count),
            }
        }
    }

    #[inline(always)]
    unsafe fn some<I: Isa, const P: usize, const V: usize>(&self, count: usize) {
        // SAFETY: as above.
        unsafe {
            for pixel in (0..count).step_by(P) {
                let pixel = pixel.min(count - P);
                let sums = self.products::<I, P, V>(self.x.add(pixel * self.row));
                let y = self.y.add(pixel * self.outputs);
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
    unsafe fn products<I: Isa, const P: usize, const V: usize>(&self, x: *const f32) -> [[I::V; V]; P] {
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
                // The next pixels come from memory unless they are packed, and several rows at a time are not
                // what the machine foresees.
                if E::VALUES == 1 {
                    for p in P..2 * P {
                        I::prefetch(x.wrapping_add(p * self.row + first));
                    }
                }
                for e in first..(first + CHUNK).min(self.row) {
                    let mut w = [I::zero(); V];
                    for (v, w) in w.iter_mut().enumerate() {
                        *w = I::load(self.weights.add((e * V + v) * I::LANES));
                    }
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let x = I::splat(x.add(p * self.row + e));
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
