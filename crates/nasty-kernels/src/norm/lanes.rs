//! How `[rows, channels]` is split: into blocks, which are the unit of work and of summation, and a block into wide rows. A
//! wide row has enough pixels for a long inner loop whose length is a multiple of every vector's, so few channels, or an
//! odd number of them, are as fast as many. Nothing here depends on the number of threads.

use super::kernels;

/// Lanes of the longest vector: f32 in AVX-512.
const VECTOR: usize = 16;
/// Shortest wide row. Long enough that a lane's sum is ready before its next addend comes.
const MIN_WIDTH: usize = 256;
/// Approximate elements of a block: 128 KiB a tensor, so that several fit the second-level cache.
const BLOCK: usize = 32 << 10;

/// The split of tensors with a given number of channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes {
    channels: usize,
    /// Elements of a wide row.
    width: usize,
    /// Elements of a block.
    pub(super) block: usize,
}

impl Lanes {
    pub(super) fn new(channels: usize) -> Self {
        // channels · step is the least common multiple of channels and VECTOR.
        let step = VECTOR >> channels.trailing_zeros().min(VECTOR.trailing_zeros());
        let unit = channels * step;
        let width = unit * MIN_WIDTH.div_ceil(unit);
        Self { channels, width, block: width * (BLOCK / width).max(1) }
    }

    /// One value a channel, repeated along a wide row.
    pub(super) fn widen(&self, values: &[f32]) -> Vec<f32> {
        debug_assert_eq!(values.len(), self.channels);
        values.repeat(self.width / self.channels)
    }

    pub(super) fn zeros(&self) -> Vec<f32> {
        vec![0.0; self.width]
    }

    /// The sum of a wide row for each channel.
    pub(super) fn narrow(&self, lanes: &[f32]) -> Vec<f64> {
        let mut sums = vec![0.0; self.channels];
        kernels::add_pixels(&mut sums, lanes);
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_rows_are_whole_vectors_and_whole_pixels() {
        for channels in 1..700 {
            let lanes = Lanes::new(channels);
            assert!(lanes.width >= MIN_WIDTH && lanes.width <= channels * VECTOR + MIN_WIDTH);
            assert_eq!([lanes.width % channels, lanes.width % VECTOR, lanes.block % lanes.width], [0; 3]);
        }
    }
}
