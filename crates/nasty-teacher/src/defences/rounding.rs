//! Rounding: probabilities with only a few decimals.

use super::defence::Defence;
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::query::Query;
use super::row::Row;

/// Probabilities rounded to a number of decimals, half to even.
#[derive(Clone, Copy, Debug)]
pub struct Rounding {
    /// How many decimals, 0 to 15.
    pub decimals: u32,
}

pub(super) static FACTS: Facts = Facts {
    name: "rounding",
    about: "probabilities with few decimals",
    formula: "y' ∝ round(y, decimals), half to even; top with certainty where all round to 0. ‖y' − y‖₁ ≤ C·10^−decimals",
    source: "Tramèr et al., USENIX Security 2016; 1 decimal in ModelGuard's comparison (Tang et al., 2024), not divided by the sum",
    parameters: &[Parameter::whole("decimals", "how many decimals", 0.0, 15.0)],
    top1: TopOne::KeptUpToTies,
    answers: Answers::Fixed,
    needs: &[],
    build: |values| Box::new(Rounding { decimals: values[0] as u32 }),
};

impl Rounding {
    /// The published row: rounded, not divided by its sum. An uncertain row of many classes may be all zeros.
    pub fn published(&self, row: &Row) -> Vec<f64> {
        let scale = 10f64.powi(self.decimals as i32);
        row.probabilities().iter().map(|p| (p * scale).round_ties_even() / scale).collect()
    }
}

impl Defence for Rounding {
    fn serve(&self, row: &Row, _: &Query<'_>) -> Result<Row, DefenceError> {
        Ok(Row::from_weights(self.published(row), row.top()))
    }

    fn l1_bound(&self, row: &Row) -> f64 {
        row.classes() as f64 * 0.1f64.powi(self.decimals as i32)
    }
}
