//! The only source of randomness: ChaCha8 as a counter-based generator.
//!
//! A number depends only on (seed, purpose, counters), never on earlier draws. So a resumed run, a parallel loader and
//! a cache all get the same views, orders and initial weights.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// What a random stream is for. Streams of different purposes are independent under one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Initial weights; counters: tensor number, 0.
    Weights = 1,
    /// Order of the training images; counters: epoch, 0.
    Order = 2,
    /// View (crop, flip, rotation) of an image; counters: epoch, image.
    View = 3,
    /// Choice of images (held-out split, subsets); counters: caller's own.
    Subset = 4,
    /// Noise fed to generators or optimised images; counters: step, image.
    Noise = 5,
    /// What training drops; counters: step, layer.
    Dropout = 6,
    /// Rectangles of the numbered crops; counters: the crop's number, 0.
    Crop = 7,
    /// Quarter turns of images, and which images are turned; counters: step, place in the batch.
    Turn = 8,
    /// Initial weights of heads beside a network's own; counters: tensor number, 0.
    Heads = 9,
    /// Classes that a thief moves images to; counters: step, image.
    Target = 10,
    /// Directions in which a thief looks for a gradient; counters: step, image.
    Direction = 11,
}

/// A stream of random numbers, fixed by (seed, purpose, a, b).
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of `purpose` under `seed` at counters `a` and `b`.
    pub fn new(seed: u64, purpose: Purpose, a: u64, b: u64) -> Self {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&a.to_le_bytes());
        key[16] = purpose as u8;
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(b);
        Self(rng)
    }

    /// The stream of a 256-bit key, for what is keyed by more than a seed and two counters.
    pub fn keyed(key: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(key))
    }

    /// The next 32 random bits.
    pub fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in `0..n`, without bias (rejection). `n` must not be 0.
    pub fn below(&mut self, n: u32) -> u32 {
        assert!(n > 0, "an empty range has no random element");
        let zone = u32::MAX - (u32::MAX % n + 1) % n;
        loop {
            let bits = self.bits();
            if bits <= zone {
                return bits % n;
            }
        }
    }

    /// Uniform in [0, 1), with 24 bits of resolution (every value is exact in f32).
    pub fn uniform(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / (1u32 << 24) as f32
    }

    /// Standard normal, by Box and Muller's method in f64.
    pub fn normal(&mut self) -> f32 {
        let u = (f64::from(self.bits()) + 1.0) / 4_294_967_296.0;
        let v = f64::from(self.bits()) / 4_294_967_296.0;
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }

    /// Shuffles `items` (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u32 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_every_part_of_its_address() {
        let first = |seed, purpose, a, b| Stream::new(seed, purpose, a, b).bits();
        let base = first(1, Purpose::View, 2, 3);
        assert_eq!(base, first(1, Purpose::View, 2, 3));
        for other in [
            first(2, Purpose::View, 2, 3),
            first(1, Purpose::Order, 2, 3),
            first(1, Purpose::View, 3, 3),
            first(1, Purpose::View, 2, 4),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn below_is_even_and_shuffle_keeps_all_items() {
        let mut stream = Stream::new(7, Purpose::Subset, 0, 0);
        let mut counts = [0u32; 3];
        for _ in 0..30_000 {
            counts[stream.below(3) as usize] += 1;
        }
        assert!(counts.iter().all(|&c| (9_500..10_500).contains(&c)), "{counts:?}");
        let mut items: Vec<u32> = (0..100).collect();
        stream.shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let mut stream = Stream::new(3, Purpose::Noise, 0, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(stream.normal())).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "mean {mean}, variance {variance}");
    }
}
