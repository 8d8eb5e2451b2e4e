//! Metrics of what defences cost and what thieves gain: distances between rows, calibration, tests and intervals.
//!
//! Each row is one image's class probabilities; any type that gives a slice of f64 works. Ties go to the lowest class.

use serde::{Deserialize, Serialize};

mod accuracy;
mod bits;
mod bootstrap;
mod budget;
mod calibration;
mod distance;
mod holm;
mod mcnemar;
mod protection;
mod seeds;
mod student_t;
mod wilson;

pub use accuracy::{accuracy, agreement, correct, predicted};
pub use bits::Bits;
pub use bootstrap::{Resample, hierarchical_bootstrap};
pub use budget::{area, queries_to_reach};
pub use calibration::{auroc, brier, calibration_error, confidences, negative_log_likelihood};
pub use distance::{CLEAN_FLOOR, SERVED_FLOOR, Spread, kl, l1};
pub use holm::holm;
pub use mcnemar::{McNemar, mcnemar};
pub use protection::{Protection, common_protection, protection, soft_label_advantage};
pub use seeds::{SeedMean, paired_t, seed_mean};
pub use wilson::wilson;

/// An interval of a number, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// A mean; 0 of nothing.
fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len();
    if n == 0 { 0.0 } else { values.sum::<f64>() / n as f64 }
}

/// Two things about the same images are as long as each other.
fn paired(a: usize, b: usize) {
    assert_eq!(a, b, "both must be about the same images");
}
