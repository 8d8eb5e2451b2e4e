//! Table look-up: finds clean rows that the defence would have served like this one.
//!
//! This is "Partial Bayes" of the ModelGuard paper with a realistic prior: the paper's table holds true undefended
//! answers, which no thief has. Here the thief uses rows of its own clone and sends them through the known defence.

use std::collections::BTreeMap;

use crate::defences::{Defence, DefenceError, Query, Row};

/// Clean rows and what the defence serves for them, by the class that is served as the largest.
#[derive(Clone, Debug, Default)]
pub struct AnswerTable {
    pairs: BTreeMap<usize, Vec<(Row, Row)>>,
}

/// A row that was recovered.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    /// The mean of the clean rows that fit.
    pub row: Row,
    /// How many fitted.
    pub used: usize,
}

impl AnswerTable {
    /// A table of (clean, served) pairs.
    pub fn new(pairs: impl IntoIterator<Item = (Row, Row)>) -> Self {
        let mut table = Self::default();
        for (clean, served) in pairs {
            table.pairs.entry(served.top()).or_default().push((clean, served));
        }
        table
    }

    /// A table of what `defence` serves for the thief's own rows, such as those of its clone. `query` of an image's number
    /// holds what the thief guesses in place of the owner's secret and inputs.
    ///
    /// # Errors
    /// Those of the defence.
    pub fn of<'a>(
        rows: &[Row],
        defence: &impl Defence,
        query: impl Fn(usize) -> Query<'a>,
    ) -> Result<Self, DefenceError> {
        let serve = |(i, row): (usize, &Row)| Ok((row.clone(), defence.serve(row, &query(i))?));
        let pairs: Vec<(Row, Row)> = rows.iter().enumerate().map(serve).collect::<Result<_, _>>()?;
        Ok(Self::new(pairs))
    }

    /// The mean of the clean rows whose served row is within max(tolerance, the nearest one's distance) of `served` in ℓ1.
    /// With `same_top1`, for defences that keep the predicted class, among those of the same served class only. None if
    /// there are no such rows.
    pub fn recover(&self, served: &Row, tolerance: f64, same_top1: bool) -> Option<Recovered> {
        let only = same_top1.then(|| served.top());
        let candidates: Vec<(f64, &Row)> = self
            .pairs
            .iter()
            .filter(|(top, _)| only.is_none_or(|only| only == **top))
            .flat_map(|(_, pairs)| pairs)
            .filter(|(_, known)| known.classes() == served.classes())
            .map(|(clean, known)| (known.l1(served), clean))
            .collect();
        let nearest = candidates.iter().map(|(distance, _)| *distance).reduce(f64::min)?;
        let mut sum = vec![0.0; served.classes()];
        let mut used = 0;
        for (_, clean) in candidates.iter().filter(|(distance, _)| *distance <= tolerance.max(nearest)) {
            sum.iter_mut().zip(clean.probabilities()).for_each(|(s, p)| *s += p);
            used += 1;
        }
        Some(Recovered { row: Row::from_probabilities(&sum).ok()?, used })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defences::{ImageId, Layer, Secret};

    #[test]
    fn a_table_of_the_thiefs_own_rows_undoes_a_known_formula() {
        let defence: Layer = "reverse-sigmoid:beta=0.5,gamma=0.2".parse().expect("a text");
        let secret = Secret::of(b"a guess");
        let row = |i: usize| Row::from_logits(&[i as f64 / 50.0, 0.5, 0.0]).expect("logits");
        let prior: Vec<Row> = (0..200).map(row).collect();
        let query = |_| Query::new(ImageId::of(b"none"), &secret, 0);
        let table = AnswerTable::of(&prior, &defence, query).expect("it needs nothing");
        let served = defence.serve(&row(120), &query(0)).expect("it needs nothing");
        let found = table.recover(&served, 1e-6, true).expect("the class is there");
        assert_eq!(found.used, 1);
        assert!(found.row.l1(&row(120)) < 1e-12);
        assert!(served.l1(&row(120)) > 0.1, "the defence did something");
        let other = Row::from_logits(&[0.0, 0.0, 9.0]).expect("logits");
        assert_eq!(table.recover(&other, 1e-6, true), None);
        assert!(table.recover(&other, 1e-6, false).is_some());
    }
}
