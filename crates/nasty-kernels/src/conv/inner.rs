//! The innermost loops: a vector of weights or gradients times one value for all lanes, added to sums that stay in
//! registers.

use super::pack::CHUNK;
use crate::simd::{Element, Isa};

/// The sum over chunks and taps for one pixel of `P` images. Steps are in elements.
pub(super) struct Sum<E> {
    pub(super) source: *const E,
    pub(super) weights: *const E,
    pub(super) chunks: usize,
    /// Elements of all chunks; the last chunk may not be full.
    pub(super) elements: usize,
    pub(super) down: usize,
    pub(super) across: usize,
    pub(super) plane: usize,
    pub(super) row: isize,
    pub(super) column: isize,
    pub(super) panel: usize,
    pub(super) kernel_row: usize,
    pub(super) kernel_column: usize,
}

impl<E: Element> Sum<E> {
    #[inline(always)]
    pub(super) unsafe fn run<I: Isa, const P: usize, const V: usize>(&self, sums: &mut [[I::V; V]; P]) {
        let mut local = *sums;
        for chunk in 0..self.chunks {
            let elements = (self.elements - chunk * CHUNK).min(CHUNK);
            for down in 0..self.down {
                for across in 0..self.across {
                    let source = self
                        .source
                        .wrapping_add(chunk * self.plane)
                        .wrapping_offset(down as isize * self.row + across as isize * self.column);
                    let weights = self.weights.wrapping_add(
                        chunk * self.panel + down * self.kernel_row + across * self.kernel_column,
                    );
                    let (source, weights) = (source.cast::<f32>(), weights.cast::<f32>());
                    for e in 0..elements {
                        // SAFETY: the caller's promise: taps and chunks lie in the buffers.
                        unsafe {
                            let mut w = [I::zero(); V];
                            for (v, w) in w.iter_mut().enumerate() {
                                *w = I::load(weights.add((e * V + v) * I::LANES));
                            }
                            for (p, sums) in local.iter_mut().enumerate() {
                                let x = I::splat(source.add(p * CHUNK + e));
                                for (sum, w) in sums.iter_mut().zip(w) {
                                    *sum = E::multiply_add::<I>(w, x, *sum);
                                }
                            }
                        }
                    }
                }
            }
        }
        *sums = local;
    }
}

/// The products of one tap over some rows and columns. Steps are in elements.
pub(super) struct Tap<E> {
    pub(super) x: *const E,
    pub(super) dy: *const E,
    pub(super) sums: *mut f32,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) steps: usize,
    pub(super) x_row: usize,
    pub(super) x_column: usize,
    pub(super) dy_row: usize,
}

impl<E: Element> Tap<E> {
    /// The first `used` channels of the chunk, at a time as many as leave the sums in registers.
    #[inline(always)]
    pub(super) unsafe fn all<I: Isa>(&self, used: usize, width: usize) {
        let mut channel = 0;
        while channel < used {
            // SAFETY: the caller's promise; the buffers have whole chunks.
            channel += unsafe {
                match (used - channel, width / I::LANES) {
                    (9.., 1) if I::IMAGES == 8 => self.some::<I, 16, 1>(channel),
                    (5.., 1) => self.some::<I, 8, 1>(channel),
                    (_, 1) => self.some::<I, 4, 1>(channel),
                    (5.., _) if I::IMAGES == 8 => self.some::<I, 8, 2>(channel),
                    (_, _) => self.some::<I, 4, 2>(channel),
                }
            };
        }
    }

    #[inline(always)]
    unsafe fn some<I: Isa, const C: usize, const V: usize>(&self, channel: usize) -> usize {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [[I::zero(); V]; C];
            let width = V * I::LANES;
            for (row, column) in (0..self.rows).flat_map(|r| (0..self.columns).map(move |c| (r, c))) {
                let x = self.x.add(row * self.x_row + column * self.x_column + channel).cast::<f32>();
                let dy = self.dy.add(row * self.dy_row + column * self.steps * width).cast::<f32>();
                for step in 0..self.steps {
                    let mut d = [I::zero(); V];
                    for (v, d) in d.iter_mut().enumerate() {
                        *d = I::load(dy.add(step * width + v * I::LANES));
                    }
                    for (c, sums) in sums.iter_mut().enumerate() {
                        let x = I::splat(x.add(step * CHUNK + c));
                        for (sum, d) in sums.iter_mut().zip(d) {
                            *sum = E::multiply_add::<I>(d, x, *sum);
                        }
                    }
                }
            }
            // Partial sums are added up, because one long sum would lose digits.
            for (c, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    let to = self.sums.add((channel + c) * width + v * I::LANES);
                    I::store(to, I::add(I::load(to), *sum));
                }
            }
        }
        C
    }
}
