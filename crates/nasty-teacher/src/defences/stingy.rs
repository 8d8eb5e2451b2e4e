//! Stingy teacher: the softmax, at a temperature, of only the largest logits.

use super::defence::Defence;
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::query::Query;
use super::row::Row;
use super::top_k::largest;

/// A share of the logits. At τ = 1 it is top-k with k a share of the classes.
#[derive(Clone, Copy, Debug)]
pub struct Stingy {
    /// The share of the classes that is kept, at least one class.
    pub ratio: f64,
    /// The temperature of the softmax over them.
    pub temperature: f64,
}

pub(super) static FACTS: Facts = Facts {
    name: "stingy",
    about: "a share of the largest logits, softened by a temperature",
    formula: "y' = σ_τ(z_c for the max(1, ⌊ratio·C⌋) largest, −∞ elsewhere), z = ln y",
    source: "Ma et al. (Stingy Teacher), their code: ratio 0.2 for 10 classes and 0.1 for 100, τ 20",
    parameters: &[
        Parameter::real("ratio", "the share of the classes that is kept", 0.0, 1.0),
        Parameter::real("tau", "the temperature", 1e-6, 1e6).or(1.0),
    ],
    top1: TopOne::KeptUpToTies,
    answers: Answers::Fixed,
    needs: &[],
    build: |values| Box::new(Stingy { ratio: values[0], temperature: values[1] }),
};

impl Stingy {
    /// How many of `classes` are kept. The product is rounded up by a hair first: 0.29 of 100 classes is 29, not 28.
    pub fn keep(&self, classes: usize) -> usize {
        ((self.ratio * classes as f64 + 1e-9).floor() as usize).clamp(1, classes)
    }
}

impl Defence for Stingy {
    fn serve(&self, row: &Row, _: &Query<'_>) -> Result<Row, DefenceError> {
        Ok(largest(row, self.keep(row.classes()), self.temperature))
    }
}
