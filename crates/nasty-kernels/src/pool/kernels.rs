//! The loops over one image `[h, w, c]`, compiled for each instruction set.

use std::mem::MaybeUninit;

use crate::isa::{MulAdd, per_isa};

/// Geometry of a pool without padding over an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) c: usize,
    /// Side of the window.
    pub(super) size: usize,
    /// Distance of two windows.
    pub(super) stride: usize,
}

impl Pool {
    pub(crate) fn new([_, h, w, c]: [usize; 4], size: usize, stride: usize) -> Self {
        Self { h, w, c, size, stride }
    }

    /// Height and width of the output.
    #[inline(always)]
    pub(crate) fn sides(&self) -> [usize; 2] {
        [self.h, self.w].map(|side| (side - self.size) / self.stride + 1)
    }

    /// The rows of an image that the windows of output row `row` and of those below it read.
    pub(crate) fn rows_from<'a>(&self, image: &'a [f32], row: usize) -> &'a [f32] {
        &image[row * self.stride * self.w * self.c..]
    }

    #[inline(always)]
    fn pixel<'a, T>(&self, image: &'a [T], width: usize, y: usize, x: usize) -> &'a [T] {
        &image[(y * width + x) * self.c..][..self.c]
    }

    /// The windows along one axis that contain pixel `at`, as a range of output indices below `outputs`.
    #[inline(always)]
    fn windows(&self, at: usize, outputs: usize) -> std::ops::Range<usize> {
        let first = (at + 1).saturating_sub(self.size).div_ceil(self.stride);
        first..(at / self.stride + 1).min(outputs)
    }
}

/// One image's maxima, and which pixel of its window each one is: the first of equal ones, and NaN before all numbers.
#[inline(always)]
fn max_body<M: MulAdd>(pool: Pool, x: &[f32], y: &mut [f32], winner: &mut [u8]) {
    let [_, ow] = pool.sides();
    let outputs = y.chunks_exact_mut(pool.c).zip(winner.chunks_exact_mut(pool.c)).enumerate();
    for (i, (y, winner)) in outputs {
        let (top, left) = (i / ow * pool.size, i % ow * pool.size);
        y.copy_from_slice(pool.pixel(x, pool.w, top, left));
        winner.fill(0);
        for tap in 1..pool.size * pool.size {
            let pixel = pool.pixel(x, pool.w, top + tap / pool.size, left + tap % pool.size);
            for ((y, winner), x) in y.iter_mut().zip(winner.iter_mut()).zip(pixel) {
                let better = *x > *y || x.is_nan();
                *y = if better { *x } else { *y };
                *winner = if better { tap as u8 } else { *winner };
            }
        }
    }
}

per_isa! { pub(super) fn max(pool: Pool, x: &[f32], y: &mut [f32], winner: &mut [u8]) = max_body }

/// The maxima alone.
#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "per_isa! gives every body its instruction set")]
fn max_only_body<M>(pool: Pool, x: &[f32], y: &mut [f32]) {
    let [_, ow] = pool.sides();
    for (i, y) in y.chunks_exact_mut(pool.c).enumerate() {
        let (top, left) = (i / ow * pool.size, i % ow * pool.size);
        y.copy_from_slice(pool.pixel(x, pool.w, top, left));
        for tap in 1..pool.size * pool.size {
            let pixel = pool.pixel(x, pool.w, top + tap / pool.size, left + tap % pool.size);
            y.iter_mut().zip(pixel).for_each(|(y, x)| *y = if *x > *y || x.is_nan() { *x } else { *y });
        }
    }
}

per_isa! {
    /// Some rows of an image's maxima; NaN before all numbers.
    pub(crate) fn max_only(pool: Pool, x: &[f32], y: &mut [f32]) = max_only_body
}

#[inline(always)]
fn max_backward_body<M: MulAdd>(pool: Pool, dy: &[f32], winner: &[u8], dx: &mut [MaybeUninit<f32>]) {
    let [oh, ow] = pool.sides();
    for (i, dx) in dx.chunks_exact_mut(pool.c).enumerate() {
        let (y, x) = (i / pool.w, i % pool.w);
        if y / pool.size >= oh || x / pool.size >= ow {
            dx.fill(MaybeUninit::new(0.0));
            continue;
        }
        let tap = ((y % pool.size) * pool.size + x % pool.size) as u8;
        let dy = pool.pixel(dy, ow, y / pool.size, x / pool.size);
        let winner = pool.pixel(winner, ow, y / pool.size, x / pool.size);
        for ((dx, dy), winner) in dx.iter_mut().zip(dy).zip(winner) {
            dx.write(if *winner == tap { *dy } else { 0.0 });
        }
    }
}

per_isa! {
    pub(super) fn max_backward(pool: Pool, dy: &[f32], winner: &[u8], dx: &mut [MaybeUninit<f32>]) = max_backward_body
}

#[inline(always)]
fn average_body<M: MulAdd>(pool: Pool, x: &[f32], y: &mut [f32]) {
    let [_, ow] = pool.sides();
    let share = 1.0 / (pool.size * pool.size) as f32;
    for (i, y) in y.chunks_exact_mut(pool.c).enumerate() {
        let (top, left) = (i / ow * pool.stride, i % ow * pool.stride);
        y.fill(0.0);
        for tap in 0..pool.size * pool.size {
            let pixel = pool.pixel(x, pool.w, top + tap / pool.size, left + tap % pool.size);
            y.iter_mut().zip(pixel).for_each(|(y, x)| *y += x);
        }
        y.iter_mut().for_each(|y| *y *= share);
    }
}

per_isa! { pub(crate) fn average(pool: Pool, x: &[f32], y: &mut [f32]) = average_body }

#[inline(always)]
fn average_backward_body<M: MulAdd>(pool: Pool, dy: &[f32], dx: &mut [f32]) {
    let [oh, ow] = pool.sides();
    let share = 1.0 / (pool.size * pool.size) as f32;
    for (i, dx) in dx.chunks_exact_mut(pool.c).enumerate() {
        dx.fill(0.0);
        for oy in pool.windows(i / pool.w, oh) {
            for ox in pool.windows(i % pool.w, ow) {
                let pixel = pool.pixel(dy, ow, oy, ox);
                dx.iter_mut().zip(pixel).for_each(|(dx, dy)| *dx = M::mul_add(*dy, share, *dx));
            }
        }
    }
}

per_isa! { pub(super) fn average_backward(pool: Pool, dy: &[f32], dx: &mut [f32]) = average_backward_body }

/// Mean over an image. Each row of pixels is summed first.
#[inline(always)]
fn global_body<M: MulAdd>(width: usize, x: &[f32], y: &mut [f32]) {
    let c = y.len();
    let mut row_sum = vec![0.0; c];
    y.fill(0.0);
    for row in x.chunks_exact(width * c) {
        row_sum.fill(0.0);
        for pixel in row.chunks_exact(c) {
            row_sum.iter_mut().zip(pixel).for_each(|(s, x)| *s += x);
        }
        y.iter_mut().zip(&row_sum).for_each(|(y, s)| *y += s);
    }
    let share = 1.0 / (x.len() / c) as f32;
    y.iter_mut().for_each(|y| *y *= share);
}

per_isa! { pub(crate) fn global(width: usize, x: &[f32], y: &mut [f32]) = global_body }
