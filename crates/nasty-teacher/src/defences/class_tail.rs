//! Class tail: keeps the top probability and distributes the rest as it is distributed on average for the predicted
//! class.

use super::defence::{Defence, tail_bound};
use super::error::DefenceError;
use super::facts::{Answers, Facts, TopOne};
use super::query::{Need, Query};
use super::row::Row;

/// Confidence with the similarity of classes, and nothing about the image. The table is fixed, made on the owner's images.
#[derive(Clone, Copy, Debug)]
pub struct ClassTail;

pub(super) static FACTS: Facts = Facts {
    name: "class-tail",
    about: "the top probability exactly, the rest divided as the predicted class's mean tail",
    formula: "y'_top = y_top, y'_c = (1 − y_top)·tail[top]_c elsewhere, no more than just below y_top. ‖y' − y‖₁ ≤ 2(1 − y_top)",
    source: "derived; not published as a defence where it was searched for",
    parameters: &[],
    top1: TopOne::Kept,
    answers: Answers::Fixed,
    needs: &[Need::ClassTails],
    build: |_| Box::new(ClassTail),
};

impl ClassTail {
    /// Where a tail is cut: this share of the way from the top probability down to the flat tail.
    pub(crate) const BELOW_TOP: f64 = 1e-3;
}

impl Defence for ClassTail {
    fn serve(&self, row: &Row, query: &Query<'_>) -> Result<Row, DefenceError> {
        let top = row.top();
        let tail = query.inputs.class_tails(FACTS.name, row.classes())?.tail(top);
        let (own, rest) = (row.probabilities()[top], row.log_rest(top).exp());
        let flat = rest / (row.classes() - 1) as f64;
        let mut served = capped(tail, top, rest, own - Self::BELOW_TOP * (own - flat).max(0.0));
        served[top] = own;
        Ok(Row::from_weights(served, top))
    }

    fn l1_bound(&self, row: &Row) -> f64 {
        tail_bound(row)
    }
}

/// `rest` divided among the classes other than `top` in proportion to `tail`, none above `cap`: `min(cap, λ·tail)`, where λ
/// is the largest of `(rest − j·cap)/(1 − Σ of the j largest tails)`, since every set of capped classes bounds it from below.
fn capped(tail: &[f64], top: usize, rest: f64, cap: f64) -> Vec<f64> {
    let mut sorted: Vec<f64> = tail.iter().enumerate().filter(|(c, _)| *c != top).map(|(_, t)| *t).collect();
    sorted.sort_by(f64::total_cmp);
    let (mut left, mut scale) = (0.0, 0.0f64);
    for (i, share) in sorted.iter().enumerate() {
        left += share;
        let full = (sorted.len() - 1 - i) as f64;
        scale = scale.max((rest - full * cap) / left);
    }
    tail.iter().map(|share| (scale * share).min(cap)).collect()
}
