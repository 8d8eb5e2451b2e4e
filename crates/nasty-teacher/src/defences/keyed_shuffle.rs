//! Keyed shuffle: permutes the values of the tail, in an order determined by the secret and the image.

use super::defence::{Defence, tail_bound};
use super::error::DefenceError;
use super::facts::{Answers, Facts, TopOne};
use super::query::Query;
use super::row::Row;

/// The right confidences at the wrong classes. Classes tied with the predicted one stay where they are.
#[derive(Clone, Copy, Debug)]
pub struct KeyedShuffle;

pub(super) static FACTS: Facts = Facts {
    name: "keyed-shuffle",
    about: "the tail's own values in an order keyed by the image",
    formula: "y'_top = y_top, y'_π(c) = y_c elsewhere, π a permutation fixed by the secret and the image. ‖y' − y‖₁ ≤ 2(1 − y_top)",
    source: "derived; not published as a defence where it was searched for",
    parameters: &[],
    top1: TopOne::Kept,
    answers: Answers::Keyed,
    needs: &[],
    build: |_| Box::new(KeyedShuffle),
};

impl Defence for KeyedShuffle {
    fn serve(&self, row: &Row, query: &Query<'_>) -> Result<Row, DefenceError> {
        let top = row.top();
        let tail: Vec<usize> = (0..row.classes()).filter(|c| row.order(*c, top).is_lt()).collect();
        let mut order = tail.clone();
        query.keyed(FACTS.name).shuffle(&mut order);
        let mut scores = row.logs().to_vec();
        tail.iter().zip(&order).for_each(|(to, from)| scores[*to] = row.logs()[*from]);
        Ok(Row::from_scores(scores))
    }

    fn l1_bound(&self, row: &Row) -> f64 {
        tail_bound(row)
    }
}
