//! McNemar's test: compares two classifiers on the same images.

use super::paired;

/// The outcome of McNemar's test on the images that exactly one of two classifiers gets right. Each classifier's training
/// is a given: differences between training runs are not in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct McNemar {
    /// Images that only the first gets right.
    pub only_first: usize,
    /// Images that only the second gets right.
    pub only_second: usize,
    /// `min(1, 2·P[Bin(b + c, ½) ≤ min(b, c)])`.
    pub exact: f64,
    /// The mid-p value, which counts the observed outcome half; less conservative.
    pub mid: f64,
    /// `(|b − c| − 1)²/(b + c)`, Edwards' correction; 0 without such images.
    pub chi2_corrected: f64,
}

/// McNemar's test on whether each image was right.
///
/// # Panics
/// If there are not as many images on both sides.
///
/// ```
/// use nasty_teacher::metrics::mcnemar;
///
/// // Of ten images one classifier gets three right that the other gets wrong, and none the other way round.
/// let (first, second) = ([true; 10], [true, true, true, true, true, true, true, false, false, false]);
/// let test = mcnemar(&first, &second);
/// assert_eq!((test.only_first, test.only_second), (3, 0));
/// assert!((test.exact - 0.25).abs() < 1e-12);
/// ```
pub fn mcnemar(first: &[bool], second: &[bool]) -> McNemar {
    paired(first.len(), second.len());
    let count = |which: bool| first.iter().zip(second).filter(|(a, b)| a != b && **a == which).count();
    let (b, c) = (count(true), count(false));
    let (n, k) = (b + c, b.min(c));
    // P[Bin(n, ½) = k], and from there downward by the ratio of neighbours.
    let log_choices: f64 = (1..=k).map(|i| ((n - k + i) as f64 / i as f64).ln()).sum();
    let at_k = (log_choices - n as f64 * std::f64::consts::LN_2).exp();
    let mut term = at_k;
    let mut tail = 0.0;
    for i in (0..=k).rev() {
        tail += term;
        term *= i as f64 / (n - i + 1) as f64;
    }
    let excess = (b.abs_diff(c) as f64 - 1.0).powi(2);
    McNemar {
        only_first: b,
        only_second: c,
        exact: (2.0 * tail).min(1.0),
        mid: (2.0 * tail - at_k).min(1.0),
        chi2_corrected: if n == 0 { 0.0 } else { excess / n as f64 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(b: usize, c: usize) -> McNemar {
        let first: Vec<bool> = (0..b + c).map(|i| i < b).collect();
        mcnemar(&first, &first.iter().map(|right| !right).collect::<Vec<_>>())
    }

    #[test]
    fn small_cases_are_binomial_sums() {
        // Bin(5, ½): 1, 5, 10, 10, 5, 1 of 32.
        assert!((of(5, 0).exact - 2.0 / 32.0).abs() < 1e-15);
        assert!((of(1, 4).exact - 12.0 / 32.0).abs() < 1e-15);
        assert!((of(1, 4).mid - 7.0 / 32.0).abs() < 1e-15);
        assert_eq!((of(3, 3).exact, of(0, 0).exact, of(0, 0).mid), (1.0, 1.0, 1.0));
        assert!((of(3, 3).mid - 1.0).abs() < 1e-12);
    }

    #[test]
    fn thousands_of_images_neither_underflow_nor_overflow() {
        let even = of(50_000, 50_000);
        assert!((even.exact - 1.0).abs() < 1e-8 && (even.mid - 1.0).abs() < 1e-8, "{even:?}");
        // Six standard deviations.
        let far = of(50_949, 49_051);
        assert!(far.exact > 1e-9 && far.exact < 3e-9, "{far:?}");
        assert_eq!(of(3000, 0).exact, 0.0);
    }
}
