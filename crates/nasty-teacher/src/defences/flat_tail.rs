//! Flat tail: keeps the top probability and divides the rest equally. It reveals nothing about the other classes.

use super::defence::{Defence, tail_bound};
use super::error::DefenceError;
use super::facts::{Answers, Facts, TopOne};
use super::query::Query;
use super::row::Row;

/// Confidence without similarity. Accuracy and the calibration of the predicted class stay as they are.
#[derive(Clone, Copy, Debug)]
pub struct FlatTail;

pub(super) static FACTS: Facts = Facts {
    name: "flat-tail",
    about: "the top probability exactly, the rest divided equally",
    formula: "y'_top = y_top, y'_c = (1 − y_top)/(C − 1) elsewhere. ‖y' − y‖₁ ≤ 2(1 − y_top)",
    source: "derived; not published as a defence where it was searched for",
    parameters: &[],
    top1: TopOne::Kept,
    answers: Answers::Fixed,
    needs: &[],
    build: |_| Box::new(FlatTail),
};

impl Defence for FlatTail {
    fn serve(&self, row: &Row, _: &Query<'_>) -> Result<Row, DefenceError> {
        let top = row.top();
        Ok(flat(row.classes(), top, row.logs()[top], row.log_rest(top)))
    }

    fn l1_bound(&self, row: &Row) -> f64 {
        tail_bound(row)
    }
}

/// The row with `ln y_top` and `ln(1 − y_top)` given, the rest divided equally.
pub(super) fn flat(classes: usize, top: usize, log_top: f64, log_rest: f64) -> Row {
    // Rounding must not lift the rest above the top where all are equal.
    let each = (log_rest - ((classes - 1) as f64).ln()).min(log_top);
    let mut scores = vec![each; classes];
    scores[top] = log_top;
    Row::from_scores(scores)
}
