//! Top-k: serves only the k largest probabilities, divided by their sum. `top-1` (or `top-k:1`) serves only the label.

use super::defence::{Defence, tail_bound};
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::query::Query;
use super::row::Row;

/// The k largest probabilities.
#[derive(Clone, Copy, Debug)]
pub struct TopK {
    /// How many; more than there are classes changes nothing.
    pub k: usize,
}

pub(super) static FACTS: Facts = Facts {
    name: "top-k",
    about: "only the k largest probabilities; the label alone for k = 1",
    formula: "y'_c ∝ y_c for the k largest, 0 elsewhere. ‖y' − y‖₁ ≤ 2(1 − y_top)",
    source: "Orekondy et al., CVPR 2019 (Knockoff nets), who do not divide by the sum",
    parameters: &[Parameter::whole("k", "how many probabilities", 1.0, 1e6)],
    top1: TopOne::Kept,
    answers: Answers::Fixed,
    needs: &[],
    build: |values| Box::new(TopK { k: values[0] as usize }),
};

impl TopK {
    /// The published row: the k largest probabilities as they are, 0 elsewhere, not divided by their sum.
    pub fn published(&self, row: &Row) -> Vec<f64> {
        let mut kept = vec![0.0; row.classes()];
        for class in row.ranked().into_iter().take(self.k) {
            kept[class] = row.probabilities()[class];
        }
        kept
    }
}

impl Defence for TopK {
    fn serve(&self, row: &Row, _: &Query<'_>) -> Result<Row, DefenceError> {
        Ok(largest(row, self.k, 1.0))
    }

    fn l1_bound(&self, row: &Row) -> f64 {
        tail_bound(row)
    }
}

/// `σ_τ` of the `keep` largest logarithms, −∞ elsewhere.
pub(super) fn largest(row: &Row, keep: usize, temperature: f64) -> Row {
    let mut scores = vec![f64::NEG_INFINITY; row.classes()];
    // Shifted by the maximum before the division: the largest is 0 at any temperature.
    let most = row.logs()[row.top()];
    for class in row.ranked().into_iter().take(keep.max(1)) {
        scores[class] = (row.logs()[class] - most) / temperature;
    }
    Row::from_scores(scores)
}
