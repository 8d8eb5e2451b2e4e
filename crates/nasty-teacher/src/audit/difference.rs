//! The difference of two clones: over seeds and over images.

use super::Report;
use super::cells::Cell;
use crate::metrics::{Interval, Resample, hierarchical_bootstrap, holm, mcnemar, paired_t};
use serde::Serialize;

/// The two-sided 95 % point of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;
/// Draws of a bootstrap.
const DRAWS: usize = 1000;

/// `a − b` in accuracy, on the seeds and test images that both have.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference {
    /// What is compared, in words.
    pub what: String,
    /// Seeds in common.
    pub seeds: usize,
    /// The mean difference over these.
    pub mean: f64,
    /// What a difference must be larger than to be told from none: half the 95 % interval over the seeds (paired t) and half
    /// that over the images (paired), added in squares. With one seed it is that over the images alone.
    pub noise: f64,
    /// p of no difference over the seeds, paired t test; none with fewer than two seeds.
    pub p_seeds: Option<f64>,
    /// The same by Holm's correction over all comparisons of the report.
    pub p_seeds_holm: Option<f64>,
    /// p of no difference over the images, McNemar's exact test: the largest of the seeds'. Differences between training runs
    /// are not in it. None without the images' results.
    pub p_images: Option<f64>,
    /// The same by Holm's correction over all comparisons of the report.
    pub p_images_holm: Option<f64>,
}

impl Difference {
    /// Whether the difference is larger than its noise.
    pub fn clear(&self) -> bool {
        self.mean.abs() > self.noise
    }

    /// The interval that the noise gives.
    pub fn interval(&self) -> Interval {
        Interval { low: self.mean - self.noise, high: self.mean + self.noise }
    }
}

/// `a − b`; none if they have no seed in common.
pub(super) fn difference(
    report: &Report,
    what: impl Into<String>,
    a: &Cell<'_>,
    b: &Cell<'_>,
) -> Option<Difference> {
    let images = report.protocol.test_images;
    let pairs: Vec<_> = a
        .measured()
        .filter_map(|(row, first)| {
            let (other, second) = b.measured().find(|(other, _)| other.seed == row.seed)?;
            Some((row, first.accuracy, other, second.accuracy))
        })
        .collect();
    let seeds = pairs.len();
    if seeds == 0 {
        return None;
    }
    let (first, second): (Vec<f64>, Vec<f64>) = pairs.iter().map(|(_, p, _, q)| (*p, *q)).unzip();
    let mean = pairs.iter().map(|(_, p, _, q)| p - q).sum::<f64>() / seeds as f64;
    let tests: Vec<_> = pairs
        .iter()
        .filter_map(|(row, _, other, _)| {
            let (right, other) = (report.right.get(&row.run)?, report.right.get(&other.run)?);
            Some(mcnemar(right.as_slice(), other.as_slice()))
        })
        .collect();
    let n = images.max(1) as f64;
    let half = |variance: f64| Z * (variance.max(0.0) / n).sqrt();
    let over_images = if tests.len() == seeds {
        let of_seed = |t: &crate::metrics::McNemar| {
            let (b, c) = (t.only_first as f64 / n, t.only_second as f64 / n);
            half(b + c - (b - c).powi(2))
        };
        tests.iter().map(of_seed).sum::<f64>() / seeds as f64
    } else {
        // As if the images were different ones: wider than paired.
        let (p, q) = (first.iter().sum::<f64>() / seeds as f64, second.iter().sum::<f64>() / seeds as f64);
        half(p * (1.0 - p) + q * (1.0 - q))
    };
    let over_seeds = paired_t(&first, &second);
    let half_seeds = over_seeds.map_or(0.0, |t| (t.interval.high - t.interval.low) / 2.0);
    Some(Difference {
        what: what.into(),
        seeds,
        mean,
        noise: half_seeds.hypot(over_images),
        p_seeds: over_seeds.map(|t| t.p),
        p_seeds_holm: None,
        p_images: (tests.len() == seeds).then(|| tests.iter().map(|t| t.exact).fold(0.0, f64::max)),
        p_images_holm: None,
    })
}

/// Fills in Holm's correction over all of `differences`, for each of the two tests.
pub(super) fn correct(differences: &mut [Difference]) {
    let over = |p: fn(&Difference) -> Option<f64>, set: fn(&mut Difference, f64), all: &mut [Difference]| {
        let at: Vec<usize> = (0..all.len()).filter(|i| p(&all[*i]).is_some()).collect();
        let adjusted = holm(&at.iter().filter_map(|i| p(&all[*i])).collect::<Vec<_>>());
        at.into_iter().zip(adjusted).for_each(|(i, p)| set(&mut all[i], p));
    };
    over(|d| d.p_seeds, |d, p| d.p_seeds_holm = Some(p), differences);
    over(|d| d.p_images, |d, p| d.p_images_holm = Some(p), differences);
}

/// The 95 % interval of a statistic of the accuracies of `cells` over seeds and images drawn with replacement, the same for
/// all; none without at least two seeds that all have, or without the images' results.
pub(super) fn bootstrap(
    report: &Report,
    cells: &[&Cell<'_>],
    statistic: impl Fn(&[f64]) -> f64,
) -> Option<Interval> {
    let (first, rest) = cells.split_first()?;
    let seeds: Vec<u64> = first
        .measured()
        .map(|(row, _)| row.seed)
        .filter(|seed| rest.iter().all(|cell| cell.measured().any(|(row, _)| row.seed == *seed)))
        .collect();
    if seeds.len() < 2 {
        return None;
    }
    let of_cell = |cell: &Cell<'_>| -> Option<Vec<Vec<bool>>> {
        let of_seed = |seed: &u64| {
            let (row, _) = cell.measured().find(|(row, _)| row.seed == *seed)?;
            Some(report.right.get(&row.run)?.as_slice().to_vec())
        };
        seeds.iter().map(of_seed).collect()
    };
    let right: Vec<Vec<Vec<bool>>> = cells.iter().map(|cell| of_cell(cell)).collect::<Option<_>>()?;
    let of_draw = |draw: &Resample| {
        let accuracies: Vec<f64> = right.iter().map(|right| draw.accuracy(right)).collect();
        statistic(&accuracies)
    };
    hierarchical_bootstrap(seeds.len(), report.protocol.test_images, DRAWS, 0.95, 0, of_draw)
}
