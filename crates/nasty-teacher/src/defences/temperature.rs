//! Temperature: the softmax of the logits divided by τ.

use super::defence::Defence;
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::query::Query;
use super::row::Row;
use super::top_k::largest;

/// Flatter (τ > 1) or sharper (τ < 1) probabilities.
#[derive(Clone, Copy, Debug)]
pub struct Temperature {
    /// What the logits are divided by.
    pub tau: f64,
}

pub(super) static FACTS: Facts = Facts {
    name: "temperature",
    about: "flatter (τ > 1) or sharper (τ < 1) probabilities",
    formula: "y' = σ_τ(ln y), that is y'_c ∝ y_c^(1/τ)",
    source: "Hinton et al., 2015; anyone undoes it by the inverse temperature",
    parameters: &[Parameter::real("tau", "the temperature", 1e-6, 1e6)],
    // Logits that differ by a rounding error may become equal.
    top1: TopOne::KeptUpToTies,
    answers: Answers::Fixed,
    needs: &[],
    build: |values| Box::new(Temperature { tau: values[0] }),
};

impl Defence for Temperature {
    fn serve(&self, row: &Row, _: &Query<'_>) -> Result<Row, DefenceError> {
        Ok(largest(row, row.classes(), self.tau))
    }
}
