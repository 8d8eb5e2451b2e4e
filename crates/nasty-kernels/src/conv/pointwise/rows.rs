//! The products of some rows with some tiles of the weight.

use std::marker::PhantomData;
use std::ops::Range;

use super::super::ahead::Ahead;
use super::super::finish::Finish;
use super::super::pack::CHUNK;
use super::Packed;
use crate::scratch::Scratch;
use crate::simd::{Element, Isa, Job};

/// Elements of a page. Cache lines a multiple of it apart share a set of the first-level cache.
const PAGE: usize = 1024;

/// Rows of inputs, and where their outputs go.
pub(crate) struct Rows<'a> {
    /// `[count, inputs]`.
    pub(crate) x: &'a [f32],
    /// Index in y of the first output of the first row.
    pub(crate) first: usize,
    /// Distance of two rows in y.
    pub(crate) stride: usize,
    pub(crate) finish: Finish<'a>,
    /// What is prefetched meanwhile.
    pub(crate) ahead: Ahead<'a>,
}

/// Some tiles of the outputs of some rows.
pub(super) struct Block<'a, E> {
    pub(super) packed: &'a Packed<E>,
    pub(super) rows: Rows<'a>,
    pub(super) count: usize,
    pub(super) tiles: Range<usize>,
    /// The first output of the first row.
    pub(super) y: *mut f32,
}

impl<E: Element> Job for Block<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { packed, rows, count, tiles, y } = self;
        let Rows { x, first, stride: y_stride, finish, mut ahead } = rows;
        let inputs = packed.inputs;
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
        for tile in &packed.tiles[tiles] {
            let weights = &all[row * tile.offset..][..row * tile.vectors * I::LANES];
            let rows = TileRows {
                x,
                row,
                stride,
                weights: weights.as_ptr().cast(),
                bias: packed.bias[tile.offset..][..tile.vectors * I::LANES].as_ptr(),
                y: y.wrapping_add(tile.start),
                at: first + tile.start,
                y_stride,
                len: tile.len,
                padded: tile.offset,
                finish: &finish,
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
struct TileRows<'a, E> {
    x: *const f32,
    /// Elements of a pixel's inputs.
    row: usize,
    /// Distance of two pixels in x.
    stride: usize,
    weights: *const f32,
    bias: *const f32,
    y: *mut f32,
    /// Index of the first output.
    at: usize,
    /// Distance of two rows in y.
    y_stride: usize,
    /// Channels of the tile.
    len: usize,
    /// The tile's first channel, padding included.
    padded: usize,
    finish: &'a Finish<'a>,
    element: PhantomData<E>,
}

impl<E: Element> TileRows<'_, E> {
    /// All `count` rows, in groups that leave their sums in registers; what remains, in smaller groups.
    #[inline(always)]
    unsafe fn all<I: Isa, const V: usize>(&self, count: usize, ahead: &mut Ahead<'_>) {
        let mut first = 0;
        // SAFETY: the caller's promise; only rows below `count` are computed.
        unsafe {
            if I::IMAGES == 8 && V < 3 {
                // About twelve vectors of sums. More would fit the registers, but storing them at once waits longer for memory.
                first = self.some::<I, 6, V>(first, count, ahead);
            }
            first = self.some::<I, 4, V>(first, count, ahead);
            first = self.some::<I, 2, V>(first, count, ahead);
            self.some::<I, 1, V>(first, count, ahead);
        }
    }

    /// Whole groups of `P` rows from `first` on; gives the first row that is left.
    #[inline(always)]
    unsafe fn some<I: Isa, const P: usize, const V: usize>(
        &self,
        first: usize,
        count: usize,
        ahead: &mut Ahead<'_>,
    ) -> usize {
        let mut pixel = first;
        // SAFETY: as above.
        unsafe {
            while pixel + P <= count {
                let y = self.y.add(pixel * self.y_stride);
                // Without a prefetch the stores would wait for their cache lines.
                for p in P..2 * P {
                    for v in 0..V {
                        I::prefetch_write(y.wrapping_add(p * self.y_stride + v * I::LANES));
                    }
                }
                let mut sums = self.products::<I, P, V>(self.x.add(pixel * self.stride), ahead);
                if !self.finish.is_plain() {
                    for (p, sums) in sums.iter().enumerate() {
                        for (v, sum) in sums.iter().enumerate() {
                            let (to, lane) = (p * self.y_stride + v * I::LANES, v * I::LANES);
                            let at = self.at + pixel * self.y_stride + to;
                            self.finish.store::<I>(*sum, y.add(to), at, self.padded + lane, self.len - lane);
                        }
                    }
                    pixel += P;
                    continue;
                }
                if let Some([low, high]) = &self.finish.bounds {
                    let (low, high) = (I::splat(low), I::splat(high));
                    for sum in sums.iter_mut().flatten() {
                        *sum = I::clamp(*sum, low, high);
                    }
                }
                if self.len == V * I::LANES {
                    for (p, sums) in sums.iter().enumerate() {
                        for (v, sum) in sums.iter().enumerate() {
                            I::store(y.add(p * self.y_stride + v * I::LANES), *sum);
                        }
                    }
                } else {
                    for (p, sums) in sums.iter().enumerate() {
                        for (v, sum) in sums.iter().enumerate() {
                            let to = y.add(p * self.y_stride + v * I::LANES);
                            I::store_first(to, self.len - v * I::LANES, *sum);
                        }
                    }
                }
                pixel += P;
            }
        }
        pixel
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
