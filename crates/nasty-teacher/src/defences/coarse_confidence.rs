//! Coarse confidence: a flat tail, and only a few levels of the top probability.

use super::defence::{Defence, tail_bound};
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::flat_tail::flat;
use super::query::Query;
use super::row::Row;

/// The top probability as the middle of one of L equal parts of (1/C, 1]. Calibration stays as it is up to half a part.
#[derive(Clone, Copy, Debug)]
pub struct CoarseConfidence {
    /// How many levels.
    pub levels: usize,
}

pub(super) static FACTS: Facts = Facts {
    name: "coarse-confidence",
    about: "a flat tail, and a few levels of the top probability",
    formula: "y'_top = 1/C + (i + ½)(1 − 1/C)/L for the i-th of L equal parts of (1/C, 1], the rest divided equally. ‖y' − y‖₁ ≤ 2(1 − y_top) + (1 − 1/C)/L",
    source: "derived; not published as a defence where it was searched for",
    parameters: &[Parameter::whole("levels", "how many levels", 1.0, 1e6).or(5.0)],
    top1: TopOne::Kept,
    answers: Answers::Fixed,
    needs: &[],
    build: |values| Box::new(CoarseConfidence { levels: values[0] as usize }),
};

impl Defence for CoarseConfidence {
    fn serve(&self, row: &Row, _: &Query<'_>) -> Result<Row, DefenceError> {
        let (top, least, levels) = (row.top(), 1.0 / row.classes() as f64, self.levels as f64);
        let width = (1.0 - least) / levels;
        // A part holds its upper end, as the bins of the calibration error do.
        let part = ((row.probabilities()[top] - least) / width).ceil().clamp(1.0, levels);
        let served = least + (part - 0.5) * width;
        Ok(flat(row.classes(), top, served.ln(), (1.0 - served).ln()))
    }

    fn l1_bound(&self, row: &Row) -> f64 {
        tail_bound(row) + (1.0 - 1.0 / row.classes() as f64) / self.levels as f64
    }
}
