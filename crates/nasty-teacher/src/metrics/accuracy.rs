//! Accuracy and agreement.

use super::{mean, paired};

/// The predicted class of a row; among equals the lowest. 0 for an empty row.
pub fn predicted(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |top, c| if row[c] > row[top] { c } else { top })
}

/// Whether each row's predicted class is its label.
///
/// # Panics
/// If there are not as many labels as rows.
pub fn correct(rows: &[impl AsRef<[f64]>], labels: &[usize]) -> Vec<bool> {
    paired(rows.len(), labels.len());
    rows.iter().zip(labels).map(|(row, label)| predicted(row.as_ref()) == *label).collect()
}

/// The share of rows whose predicted class is their label, from 0 to 1; 0 of no rows.
///
/// # Panics
/// If there are not as many labels as rows.
pub fn accuracy(rows: &[impl AsRef<[f64]>], labels: &[usize]) -> f64 {
    mean(correct(rows, labels).into_iter().map(|right| f64::from(u8::from(right))))
}

/// The share of images for which both predict the same class: the fidelity of a clone to its victim, or the top-1 kept
/// between clean and served rows.
///
/// # Panics
/// If there are not as many rows on both sides.
pub fn agreement(a: &[impl AsRef<[f64]>], b: &[impl AsRef<[f64]>]) -> f64 {
    paired(a.len(), b.len());
    let same = a.iter().zip(b).map(|(a, b)| predicted(a.as_ref()) == predicted(b.as_ref()));
    mean(same.map(|same| f64::from(u8::from(same))))
}
