//! Wilson's interval for a single accuracy.

use super::Interval;

/// The 97.5 % quantile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// The 95 % interval of a share of which `right` of `n` were observed (Wilson, 1927). `[0, 1]` of no images.
///
/// ```
/// use nasty_teacher::metrics::wilson;
///
/// let interval = wilson(9_500, 10_000);
/// assert!(interval.low > 0.945 && interval.high < 0.955);
/// ```
pub fn wilson(right: usize, n: usize) -> Interval {
    if n == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let (share, n) = (right as f64 / n as f64, n as f64);
    let scale = 1.0 / (1.0 + Z * Z / n);
    let middle = (share + Z * Z / (2.0 * n)) * scale;
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt() * scale;
    Interval { low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_stay_in_the_unit_interval() {
        assert!(wilson(0, 10).low < 1e-12 && wilson(10, 10).high > 1.0 - 1e-12);
        assert_eq!(wilson(0, 0), Interval { low: 0.0, high: 1.0 });
        let ten_thousand = wilson(9_500, 10_000);
        assert!(((ten_thousand.high - ten_thousand.low) / 2.0 - 0.0043).abs() < 1e-4);
    }
}
