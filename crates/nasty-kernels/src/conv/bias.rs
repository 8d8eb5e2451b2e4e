//! The gradient of the bias: sums of channels.

use rayon::prelude::*;

/// Pixels of a first sum.
const BLOCK: usize = 256;

/// Sums over all pixels of dy, `channels` values each, in an order that depends on the shape alone.
pub(super) fn backward_bias(dy: &[f32], channels: usize) -> Vec<f32> {
    let sum = |parts: &mut dyn Iterator<Item = &[f32]>| {
        let mut total = vec![0.0; channels];
        for part in parts {
            total.iter_mut().zip(part).for_each(|(t, v)| *t += v);
        }
        total
    };
    let blocks: Vec<Vec<f32>> =
        dy.par_chunks(BLOCK * channels).map(|block| sum(&mut block.chunks_exact(channels))).collect();
    // Blocks of blocks, so that no sum is long.
    let upper: Vec<Vec<f32>> =
        blocks.chunks(BLOCK).map(|blocks| sum(&mut blocks.iter().map(Vec::as_slice))).collect();
    sum(&mut upper.iter().map(Vec::as_slice))
}
