//! A served row: one image's class probabilities, with their logarithms.

use super::error::DefenceError;

/// The class probabilities that are served for one image, `[classes]`, in f64.
///
/// The probabilities are finite, non-negative and sum to 1. Their logarithms are kept beside them: where a probability
/// underflows to 0, its logarithm is still finite, so that logits of ±1e4 survive a later temperature. Only an exact
/// zero has the logarithm −∞.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    probabilities: Vec<f64>,
    logs: Vec<f64>,
}

impl Row {
    /// `softmax(logits)`, `[classes]`. A logit of −∞ is a class that is never served.
    ///
    /// # Errors
    /// [`DefenceError::Row`] for fewer than two classes, NaN, +∞, or no finite logit.
    pub fn from_logits(logits: &[f64]) -> Result<Self, DefenceError> {
        let refused = |found: String| DefenceError::Row { expected: "at least two finite logits", found };
        if logits.len() < 2 {
            return Err(refused(format!("{} of them", logits.len())));
        }
        if let Some(i) = logits.iter().position(|z| z.is_nan() || *z == f64::INFINITY) {
            return Err(refused(format!("{} for class {i}", logits[i])));
        }
        if logits.iter().all(|z| z.is_infinite()) {
            return Err(refused("none that is finite".to_owned()));
        }
        Ok(Self::from_scores(logits.to_vec()))
    }

    /// Probabilities `[classes]`, divided by their sum.
    ///
    /// # Errors
    /// [`DefenceError::Row`] for fewer than two classes, a negative or non-finite entry, or a sum of 0.
    pub fn from_probabilities(probabilities: &[f64]) -> Result<Self, DefenceError> {
        let refused = |found: String| DefenceError::Row {
            expected: "at least two probabilities, finite and not negative, with a sum above 0",
            found,
        };
        if probabilities.len() < 2 {
            return Err(refused(format!("{} of them", probabilities.len())));
        }
        if let Some(i) = probabilities.iter().position(|p| !p.is_finite() || *p < 0.0) {
            return Err(refused(format!("{} for class {i}", probabilities[i])));
        }
        let sum: f64 = probabilities.iter().sum();
        if sum <= 0.0 || !sum.is_finite() {
            return Err(refused(format!("a sum of {sum}")));
        }
        Ok(Self::from_weights(probabilities.to_vec(), 0))
    }

    /// The row that says `top` with certainty.
    pub(super) fn one_hot(classes: usize, top: usize) -> Self {
        let mut probabilities = vec![0.0; classes];
        probabilities[top] = 1.0;
        Self::of(probabilities)
    }

    /// `softmax(scores)`. At least one score must be finite, none NaN or +∞.
    pub(super) fn from_scores(scores: Vec<f64>) -> Self {
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // The maximum goes first: the logarithm of the sum is small, and would be lost beside a large maximum.
        let shifted: Vec<f64> = scores.iter().map(|z| z - most).collect();
        let log_sum = shifted.iter().map(|z| z.exp()).sum::<f64>().ln();
        let logs: Vec<f64> = shifted.iter().map(|z| z - log_sum).collect();
        Self { probabilities: logs.iter().map(|l| l.exp()).collect(), logs }
    }

    /// `weights / Σ weights`; where all weights are 0, `fallback` with certainty. They must be finite and not negative.
    pub(super) fn from_weights(mut weights: Vec<f64>, fallback: usize) -> Self {
        let sum: f64 = weights.iter().sum();
        if sum <= 0.0 {
            return Self::one_hot(weights.len(), fallback);
        }
        // What sums to 1 up to rounding stays as it is, to the last bit: rounding to decimals depends on it.
        if (sum - 1.0).abs() > 1e-12 * weights.len() as f64 {
            // Two steps, so that the smallest sums do not overflow when inverted.
            let most = weights.iter().copied().fold(0.0, f64::max);
            weights.iter_mut().for_each(|w| *w /= most);
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= sum);
        }
        Self::of(weights)
    }

    fn of(probabilities: Vec<f64>) -> Self {
        Self { logs: probabilities.iter().map(|p| p.ln()).collect(), probabilities }
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.logs.len()
    }

    /// The probabilities `[classes]`.
    pub fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    /// The probabilities' logarithms `[classes]`: −∞ for an exact zero only.
    pub fn logs(&self) -> &[f64] {
        &self.logs
    }

    /// The predicted class; among equals the one of the lowest index.
    pub fn top(&self) -> usize {
        (1..self.classes()).fold(0, |top, c| if self.order(c, top).is_gt() { c } else { top })
    }

    /// The order of two classes by what is served for them: by the logarithms, which tell small probabilities apart,
    /// then by the probabilities, which tell large ones apart.
    pub(super) fn order(&self, a: usize, b: usize) -> std::cmp::Ordering {
        let by_logs = self.logs[a].total_cmp(&self.logs[b]);
        by_logs.then(self.probabilities[a].total_cmp(&self.probabilities[b]))
    }

    /// The classes from the largest to the smallest probability; equals by their index.
    pub(super) fn ranked(&self) -> Vec<usize> {
        let mut classes: Vec<usize> = (0..self.classes()).collect();
        // A stable sort keeps equals in the order of their indices.
        classes.sort_by(|a, b| self.order(*b, *a));
        classes
    }

    /// `ln(1 − p_c)`, without loss where `p_c` is near 1.
    pub(super) fn log_rest(&self, class: usize) -> f64 {
        if self.probabilities[class] < 0.5 {
            return (-self.probabilities[class]).ln_1p();
        }
        let others = || self.logs.iter().enumerate().filter(|(c, _)| *c != class).map(|(_, l)| *l);
        let most = others().fold(f64::NEG_INFINITY, f64::max);
        if most == f64::NEG_INFINITY {
            return most;
        }
        most + others().map(|l| (l - most).exp()).sum::<f64>().ln()
    }

    /// `Σ |p − q|`, from 0 to 2.
    ///
    /// # Panics
    /// If the two rows have different numbers of classes.
    pub fn l1(&self, other: &Self) -> f64 {
        assert_eq!(self.classes(), other.classes(), "rows of the same classes");
        self.probabilities.iter().zip(&other.probabilities).map(|(p, q)| (p - q).abs()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_logits_keep_their_logarithms() {
        let row = Row::from_logits(&[1e4, -1e4, 0.0]).expect("logits");
        assert_eq!(row.probabilities(), [1.0, 0.0, 0.0]);
        assert_eq!(row.logs(), [0.0, -2e4, -1e4]);
        assert_eq!(row.log_rest(0), -1e4);
        assert_eq!(row.top(), 0);
        let masked = Row::from_logits(&[f64::NEG_INFINITY, 3.0]).expect("one class is enough");
        assert_eq!(masked.probabilities(), [0.0, 1.0]);
        assert_eq!(masked.log_rest(1), f64::NEG_INFINITY);
    }

    #[test]
    fn probabilities_are_normalised_but_kept_where_they_already_are() {
        let row = Row::from_probabilities(&[0.35, 0.35, 0.15, 0.05, 0.05, 0.05]).expect("a row");
        assert_eq!(row.probabilities(), [0.35, 0.35, 0.15, 0.05, 0.05, 0.05]);
        assert_eq!(Row::from_probabilities(&[3.0, 1.0]).expect("a row").probabilities(), [0.75, 0.25]);
        let tiny = Row::from_probabilities(&[5e-324, 5e-324]).expect("a row");
        assert_eq!(tiny.probabilities(), [0.5, 0.5]);
    }

    #[test]
    fn what_is_no_row_is_refused_with_the_reason() {
        let message = |row: Result<Row, DefenceError>| row.expect_err("refused").to_string();
        assert!(message(Row::from_logits(&[1.0])).ends_with("found 1 of them"));
        assert!(message(Row::from_logits(&[1.0, f64::NAN])).ends_with("found NaN for class 1"));
        assert!(message(Row::from_logits(&[f64::NEG_INFINITY; 2])).ends_with("found none that is finite"));
        assert!(message(Row::from_probabilities(&[0.5, -0.5])).ends_with("found -0.5 for class 1"));
        assert!(message(Row::from_probabilities(&[0.0, 0.0])).ends_with("found a sum of 0"));
        assert!(message(Row::from_probabilities(&[f64::MAX, f64::MAX])).ends_with("found a sum of inf"));
    }

    #[test]
    fn ties_go_to_the_lowest_index() {
        let row = Row::from_probabilities(&[0.1, 0.4, 0.4, 0.1]).expect("a row");
        assert_eq!((row.top(), row.ranked()), (1, vec![1, 2, 0, 3]));
    }
}
