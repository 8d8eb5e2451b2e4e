//! A victim's answers as rows, and why a defence refused one.

use super::{DefenceError, Row};
use crate::victim::{Answers, Scale, VictimError};

/// Answers as rows, one an image.
pub(super) fn clean_rows(answers: &Answers) -> impl Iterator<Item = Result<Row, DefenceError>> {
    answers.rows.chunks_exact(answers.classes.max(1)).map(|row| {
        let row: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
        match answers.scale {
            Scale::Logits => Row::from_logits(&row),
            Scale::Probabilities => Row::from_probabilities(&row),
        }
    })
}

pub(super) fn refused(defence: &str, image: usize, error: &DefenceError) -> VictimError {
    VictimError::Defence { defence: defence.to_owned(), image, problem: error.to_string() }
}
