//! Differences over seeds: a paired t interval.

use super::student_t::{central, quantile};
use super::{Interval, mean, paired};

/// The mean difference of two thieves that share their seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedSeeds {
    /// Mean of `a − b`.
    pub mean: f64,
    /// Its 95 % interval, by Student's t with n − 1 degrees of freedom.
    pub interval: Interval,
    /// The two-sided p-value of no difference.
    pub p: f64,
}

/// A paired t test over seeds; none with fewer than two.
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
pub fn paired_t(a: &[f64], b: &[f64]) -> Option<PairedSeeds> {
    paired(a.len(), b.len());
    let n = a.len();
    if n < 2 {
        return None;
    }
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let average = mean(differences.iter().copied());
    let variance = differences.iter().map(|d| (d - average).powi(2)).sum::<f64>() / (n - 1) as f64;
    let error = (variance / n as f64).sqrt();
    let half = quantile(0.95, n - 1) * error;
    let p = match (error > 0.0, average == 0.0) {
        (true, _) => 1.0 - central(average / error, n - 1),
        (false, true) => 1.0,
        (false, false) => 0.0,
    };
    let interval = Interval { low: average - half, high: average + half };
    Some(PairedSeeds { mean: average, interval, p: p.max(0.0) })
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
