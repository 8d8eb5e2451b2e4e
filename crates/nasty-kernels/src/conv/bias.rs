//! The gradient of the bias: dy summed over all pixels.

use rayon::prelude::*;

use crate::isa::per_isa;

/// Pixels of a partial sum.
const BLOCK: usize = 256;

#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "per_isa! gives every body its instruction set")]
fn sum_body<M>(pixels: &[f32], total: &mut [f32]) {
    for pixel in pixels.chunks_exact(total.len()) {
        total.iter_mut().zip(pixel).for_each(|(t, v)| *t += v);
    }
}

per_isa! {
    /// Adds the pixels to the total.
    fn sum(pixels: &[f32], total: &mut [f32]) = sum_body
}

/// Sums over all pixels of dy, `channels` values each, in an order that depends on the shape alone.
pub(super) fn backward_bias(dy: &[f32], channels: usize) -> Vec<f32> {
    let blocks = |pixels: &[f32]| -> Vec<f32> {
        let mut sums = vec![0.0; pixels.len().div_ceil(BLOCK * channels) * channels];
        let parts = pixels.par_chunks(BLOCK * channels);
        sums.par_chunks_mut(channels).zip(parts).for_each(|(total, pixels)| sum(pixels, total));
        sums
    };
    // Partial sums of partial sums: one long sum would lose digits.
    let mut total = vec![0.0; channels];
    sum(&blocks(&blocks(dy)), &mut total);
    total
}
