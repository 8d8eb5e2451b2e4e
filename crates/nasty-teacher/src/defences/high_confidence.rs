//! High-confidence cut: probabilities below a cut-off are not served.

use super::defence::{Defence, tail_bound};
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::query::Query;
use super::row::Row;

/// Only probabilities of at least the cut-off.
#[derive(Clone, Copy, Debug)]
pub struct HighConfidence {
    /// The smallest probability that is served.
    pub cutoff: f64,
}

pub(super) static FACTS: Facts = Facts {
    name: "high-confidence",
    about: "only probabilities of at least a cut-off",
    formula: "y'_c ∝ y_c where y_c ≥ cutoff, 0 elsewhere; top with certainty where nothing is left. ‖y' − y‖₁ ≤ 2(1 − y_top)",
    source: "Adversarial Robustness Toolbox (cut-off 0.25), which does not divide by the sum",
    parameters: &[Parameter::real("cutoff", "the smallest probability that is served", 0.0, 1.0).or(0.25)],
    top1: TopOne::Kept,
    answers: Answers::Fixed,
    needs: &[],
    build: |values| Box::new(HighConfidence { cutoff: values[0] }),
};

impl HighConfidence {
    /// The published row: entries below the cut-off set to 0, not divided by the sum. It may be all zeros.
    pub fn published(&self, row: &Row) -> Vec<f64> {
        row.probabilities().iter().map(|p| if *p < self.cutoff { 0.0 } else { *p }).collect()
    }
}

impl Defence for HighConfidence {
    fn serve(&self, row: &Row, _: &Query<'_>) -> Result<Row, DefenceError> {
        Ok(Row::from_weights(self.published(row), row.top()))
    }

    fn l1_bound(&self, row: &Row) -> f64 {
        tail_bound(row)
    }
}
