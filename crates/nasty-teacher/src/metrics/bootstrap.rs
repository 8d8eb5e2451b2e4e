//! A bootstrap over seeds and images.

use super::Interval;
use crate::random::{Purpose, Stream};

/// Seeds and images drawn with replacement.
#[derive(Debug)]
pub struct Resample {
    seeds: Vec<usize>,
    images: Vec<usize>,
}

impl Resample {
    /// The share of right answers in this draw. `right` is `[seeds][images]`.
    ///
    /// # Panics
    /// If `right` has fewer seeds or images than are drawn from.
    pub fn accuracy(&self, right: &[Vec<bool>]) -> f64 {
        let of_seed = |seed: &usize| self.images.iter().filter(|image| right[*seed][**image]).count();
        let count: usize = self.seeds.iter().map(of_seed).sum();
        count as f64 / (self.seeds.len() * self.images.len()) as f64
    }
}

/// The interval that holds the middle `level` of a statistic over `draws` resamples (percentile method): first seeds are
/// drawn, then images, the same ones for all seeds, because the seeds share the test images. Draws for which the statistic
/// is not finite are left out; none if nothing is left, or there is nothing to draw from.
pub fn hierarchical_bootstrap(
    seeds: usize,
    images: usize,
    draws: usize,
    level: f64,
    random_seed: u64,
    statistic: impl Fn(&Resample) -> f64,
) -> Option<Interval> {
    let (seed_range, image_range) = (u32::try_from(seeds).ok()?, u32::try_from(images).ok()?);
    if seeds == 0 || images == 0 {
        return None;
    }
    let mut values: Vec<f64> = (0..draws as u64)
        .map(|draw| {
            let mut stream = Stream::new(random_seed, Purpose::Subset, draw, 0);
            statistic(&Resample {
                seeds: (0..seeds).map(|_| stream.below(seed_range) as usize).collect(),
                images: (0..images).map(|_| stream.below(image_range) as usize).collect(),
            })
        })
        .filter(|value| value.is_finite())
        .collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |share: f64| {
        let place = share.clamp(0.0, 1.0) * last as f64;
        let below = place.floor() as usize;
        let above = (below + 1).min(last);
        values[below] + (place - below as f64) * (values[above] - values[below])
    };
    Some(Interval { low: at((1.0 - level) / 2.0), high: at((1.0 + level) / 2.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_the_binomial_interval() {
        let right = [(0..400).map(|i| i % 4 != 0).collect::<Vec<bool>>()];
        let interval =
            hierarchical_bootstrap(1, 400, 2000, 0.95, 1, |draw| draw.accuracy(&right)).expect("images");
        let half = 1.96 * (0.75 * 0.25 / 400.0f64).sqrt();
        assert!((interval.low - (0.75 - half)).abs() < 0.006, "{interval:?}");
        assert!((interval.high - (0.75 + half)).abs() < 0.006, "{interval:?}");
    }

    #[test]
    fn seeds_that_differ_widen_it_and_the_same_seed_repeats_it() {
        let of = |share: usize| (0..1000).map(|i| i % 10 < share).collect::<Vec<bool>>();
        let interval = |right: &[Vec<bool>]| {
            hierarchical_bootstrap(right.len(), 1000, 500, 0.95, 3, |draw| draw.accuracy(right))
                .expect("images")
        };
        let (even, uneven) = (interval(&[of(5), of(5), of(5)]), interval(&[of(3), of(5), of(7)]));
        assert!(uneven.high - uneven.low > 2.0 * (even.high - even.low), "{even:?} {uneven:?}");
        assert_eq!(even, interval(&[of(5), of(5), of(5)]));
    }

    #[test]
    fn without_values_there_is_no_interval() {
        assert_eq!(hierarchical_bootstrap(0, 5, 10, 0.95, 1, |_| 0.0), None);
        assert_eq!(hierarchical_bootstrap(2, 5, 10, 0.95, 1, |_| f64::NAN), None);
    }
}
