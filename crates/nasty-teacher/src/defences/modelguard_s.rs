//! ModelGuard-S (Tang et al., USENIX Security 2024): answers a row with an earlier row that is similar.
//!
//! The answer depends on all previous queries, by anyone: the first row of a class is answered exactly, so a thief who
//! asks rare rows first decides what others get.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::defence::Defence;
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::query::Query;
use super::row::Row;

/// A codebook for each predicted class, empty at first.
#[derive(Debug)]
pub struct ModelGuardS {
    epsilon: f64,
    codebook: Mutex<BTreeMap<usize, Vec<Row>>>,
}

pub(super) static FACTS: Facts = Facts {
    name: "modelguard-s",
    about: "rows answered by earlier rows that were similar",
    formula: "y' = the first row of the class's codebook within ‖·‖₁ ≤ ε of y; else y, which is put at its end",
    source: "Tang et al., USENIX Security 2024 (ModelGuard-S, ε 1)",
    parameters: &[Parameter::real("epsilon", "the most that ‖y' − y‖₁ may be", 0.0, 2.0).or(1.0)],
    top1: TopOne::Kept,
    answers: Answers::Stateful,
    needs: &[],
    build: |values| Box::new(ModelGuardS::new(values[0])),
};

impl ModelGuardS {
    /// An empty codebook; `epsilon` is the most that ‖y' − y‖₁ may be.
    pub fn new(epsilon: f64) -> Self {
        Self { epsilon, codebook: Mutex::default() }
    }

    /// The answer, and its place in the codebook of its class.
    pub fn quantise(&self, row: &Row) -> (Row, usize) {
        // A codebook is never left half-changed, so a panic elsewhere does not spoil it.
        let mut codebook = self.codebook.lock().unwrap_or_else(PoisonError::into_inner);
        let class = codebook.entry(row.top()).or_default();
        let fits = |known: &Row| known.classes() == row.classes() && known.l1(row) <= self.epsilon;
        let place = class.iter().position(fits).unwrap_or_else(|| {
            class.push(row.clone());
            class.len() - 1
        });
        (class[place].clone(), place)
    }

    /// How many rows the codebook of each class holds.
    pub fn sizes(&self) -> BTreeMap<usize, usize> {
        let codebook = self.codebook.lock().unwrap_or_else(PoisonError::into_inner);
        codebook.iter().map(|(class, rows)| (*class, rows.len())).collect()
    }
}

impl Defence for ModelGuardS {
    fn serve(&self, row: &Row, _: &Query<'_>) -> Result<Row, DefenceError> {
        Ok(self.quantise(row).0)
    }

    fn l1_bound(&self, _: &Row) -> f64 {
        self.epsilon
    }
}
