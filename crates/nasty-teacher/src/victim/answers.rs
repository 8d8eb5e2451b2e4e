//! A victim's answers, and how a thief uses them.

use serde::{Deserialize, Serialize};

/// The smallest probability that [`Answers::log_rows`] usually tells from 0.
pub const LOG_FLOOR: f32 = 1e-7;

/// What the numbers of an answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Unnormalised log-probabilities.
    Logits,
    /// Probabilities. An interface may have cut or rounded them: rows need not sum to 1.
    Probabilities,
}

/// The answers to some images.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// What the numbers are.
    pub scale: Scale,
    /// Classes.
    pub classes: usize,
    /// `[images, classes]`, row-major.
    pub rows: Vec<f32>,
}

impl Answers {
    /// The answers as rows `[images, classes]` that losses take in place of logits: logits as they are, probabilities y as
    /// `ln max(y, floor)`.
    ///
    /// Losses only depend on `softmax(row / τ)`. For probabilities that is the normalised `y^(1/τ)`, which is what a victim's
    /// logits would have given, up to the floor: at any τ, `σ_τ(ln y) = σ_τ(z)` for `y = σ_1(z)`.
    pub fn log_rows(self, floor: f32) -> Vec<f32> {
        match self.scale {
            Scale::Logits => self.rows,
            Scale::Probabilities => self.rows.into_iter().map(|y| y.max(floor).ln()).collect(),
        }
    }

    /// Images answered.
    pub fn len(&self) -> usize {
        self.rows.len() / self.classes.max(1)
    }

    /// Whether there is no answer.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Index of the largest number; the lowest index of equal ones, and 0 if all are NaN.
pub fn argmax(row: &[f32]) -> usize {
    row.iter()
        .enumerate()
        .fold((0, f32::NEG_INFINITY), |best, (i, &v)| if v > best.1 { (i, v) } else { best })
        .0
}

/// ln softmax(row / τ), in f64.
pub fn log_probabilities(row: &[f32], temperature: f64) -> Vec<f64> {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shifted: Vec<f64> = row.iter().map(|&v| f64::from(v - max) / temperature).collect();
    let log_sum = shifted.iter().map(|v| v.exp()).sum::<f64>().ln();
    shifted.into_iter().map(|v| v - log_sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tempered_log_probabilities_are_tempered_logits(
            logits in prop::collection::vec(-5f32..5.0, 2..12), temperature in 0.5f64..20.0,
        ) {
            let rows = log_probabilities(&logits, 1.0).iter().map(|l| l.exp() as f32).collect();
            let answers = Answers { scale: Scale::Probabilities, classes: logits.len(), rows };
            let served = log_probabilities(&answers.log_rows(LOG_FLOOR), temperature);
            for (a, b) in served.iter().zip(log_probabilities(&logits, temperature)) {
                prop_assert!((a.exp() - b.exp()).abs() < 1e-5, "{} {}", a.exp(), b.exp());
            }
        }
    }

    #[test]
    fn logits_stay_as_they_are_and_zeros_meet_the_floor() {
        let logits = Answers { scale: Scale::Logits, classes: 2, rows: vec![-3.0, 0.0] };
        assert_eq!(logits.log_rows(0.5), [-3.0, 0.0]);
        let sure = Answers { scale: Scale::Probabilities, classes: 2, rows: vec![0.0, 1.0] };
        assert_eq!((sure.len(), sure.clone().log_rows(LOG_FLOOR)), (1, vec![1e-7f32.ln(), 0.0]));
        assert_eq!(sure.log_rows(1e-3)[0], 1e-3f32.ln());
    }

    #[test]
    fn the_lowest_of_equal_classes_is_the_predicted_one() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(argmax(&[f32::NAN, f32::NAN]), 0);
    }
}
