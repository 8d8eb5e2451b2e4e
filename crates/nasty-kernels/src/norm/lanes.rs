//! How `[rows, channels]` is cut: into blocks, which are the unit of work and of summation, and within a block into
//! wide rows of as many pixels as make the inner loop long and a multiple of every vector's length. So few channels,
//! or an odd number of them, run as fast as many. Nothing here depends on the number of threads.

use super::kernels;

/// Lanes of the longest vector, f32 of AVX-512.
const VECTOR: usize = 16;
/// Shortest wide row. Long enough that a sum of one lane is not waited for before its next addend comes.
const MIN_WIDTH: usize = 256;
/// Elements of a block, about: 128 KiB a tensor, several of which fit the second-level cache.
const BLOCK: usize = 32 << 10;

/// The cut of tensors with a given number of channels.
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

    /// The sum for each channel over a wide row.
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
