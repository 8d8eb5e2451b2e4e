//! Means over seeds: Student's t.

use super::student_t::{central, quantile};
use super::{Interval, mean, paired};

/// The mean of a number over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeedMean {
    /// The mean.
    pub mean: f64,
    /// The standard deviation over the seeds (divided by n − 1).
    pub sd: f64,
    /// The mean's 95 % interval, by Student's t with n − 1 degrees of freedom.
    pub interval: Interval,
    /// The two-sided p-value of a mean of 0.
    pub p: f64,
}

/// The mean over seeds with its t interval; none with fewer than two.
pub fn seed_mean(values: &[f64]) -> Option<SeedMean> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    let average = mean(values.iter().copied());
    let variance = values.iter().map(|v| (v - average).powi(2)).sum::<f64>() / (n - 1) as f64;
    let error = (variance / n as f64).sqrt();
    let half = quantile(0.95, n - 1) * error;
    let p = match (error > 0.0, average == 0.0) {
        (true, _) => 1.0 - central(average / error, n - 1),
        (false, true) => 1.0,
        (false, false) => 0.0,
    };
    let interval = Interval { low: average - half, high: average + half };
    Some(SeedMean { mean: average, sd: variance.sqrt(), interval, p: p.max(0.0) })
}

/// A paired t test of the differences `a − b` of two thieves that share their seeds; none with fewer than two.
///
/// # Panics
/// If there are not as many seeds on both sides.
///
/// ```
/// use nasty_teacher::metrics::paired_t;
///
/// let (soft, hard) = ([0.83, 0.84, 0.82], [0.80, 0.82, 0.79]);
/// let test = paired_t(&soft, &hard).expect("three seeds");
/// assert!((test.mean - 0.0267).abs() < 1e-4 && test.interval.low > 0.0 && test.p < 0.05);
/// ```
pub fn paired_t(a: &[f64], b: &[f64]) -> Option<SeedMean> {
    paired(a.len(), b.len());
    seed_mean(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degenerate_seeds() {
        assert_eq!(paired_t(&[1.0], &[2.0]), None);
        let same = paired_t(&[1.0, 2.0], &[1.0, 2.0]).expect("two seeds");
        assert_eq!((same.mean, same.p), (0.0, 1.0));
        assert_eq!(paired_t(&[2.0, 3.0], &[1.0, 2.0]).expect("two seeds").p, 0.0);
    }
}
