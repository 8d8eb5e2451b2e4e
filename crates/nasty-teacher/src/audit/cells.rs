//! Rows that differ by their seed only, taken together.

use super::report::{Against, ChosenBy, Measured, Outcome, Report, Row, Signal};
use crate::metrics::{Interval, seed_mean, wilson};
use serde::Serialize;

/// A clone with all its seeds.
#[derive(Clone, Debug)]
pub struct Cell<'a> {
    /// Its rows, in the order of the report; at least one.
    rows: Vec<&'a Row>,
}

/// An accuracy over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Estimate {
    /// Mean over the seeds.
    pub mean: f64,
    /// Standard deviation over the seeds; none with fewer than two.
    pub sd: Option<f64>,
    /// Seeds.
    pub seeds: usize,
    /// The mean's 95 % interval: Student's t over the seeds and Wilson's over the test images, their half widths added in
    /// squares. With one seed it is Wilson's alone.
    pub interval: Interval,
}

impl Estimate {
    /// The mean of `accuracies`, one a seed, on `images` test images; none of no seeds.
    pub fn of(accuracies: &[f64], images: usize) -> Option<Self> {
        let seeds = accuracies.len();
        let mean = accuracies.iter().sum::<f64>() / seeds.max(1) as f64;
        let by_images = wilson((mean * images as f64).round() as usize, images);
        let over_seeds = seed_mean(accuracies);
        let half = over_seeds.map_or(0.0, |s| (s.interval.high - s.interval.low) / 2.0);
        let interval = Interval {
            low: (mean - (mean - by_images.low).hypot(half)).max(0.0),
            high: (mean + (by_images.high - mean).hypot(half)).min(1.0),
        };
        (seeds > 0).then_some(Self { mean, sd: over_seeds.map(|s| s.sd), seeds, interval })
    }
}

/// The cells of a report, in the order of their first rows. Skipped rows are in none.
pub fn cells(report: &Report) -> Vec<Cell<'_>> {
    let mut cells: Vec<Cell<'_>> = Vec::new();
    for row in report.rows.iter().filter(|row| !matches!(row.outcome, Outcome::Skipped { .. })) {
        match cells.iter_mut().find(|cell| same(cell.first(), row)) {
            Some(cell) => cell.rows.push(row),
            None => cells.push(Cell { rows: vec![row] }),
        }
    }
    cells
}

fn same(a: &Row, b: &Row) -> bool {
    a.thief == b.thief
        && a.against == b.against
        && a.signal == b.signal
        && a.profile == b.profile
        && a.student == b.student
        && a.budget == b.budget
        && a.share == b.share
        && a.in_verdict == b.in_verdict
}

impl<'a> Cell<'a> {
    /// Its first row: what all have in common.
    pub fn first(&self) -> &'a Row {
        self.rows[0]
    }

    /// Its rows that are evidence.
    pub fn measured(&self) -> impl Iterator<Item = (&'a Row, &'a Measured)> {
        self.rows.iter().filter_map(|row| Some((*row, row.measured()?)))
    }

    /// Why rows are no evidence, by seed.
    pub fn failures(&self) -> impl Iterator<Item = (u64, &'a str)> {
        self.rows.iter().filter_map(|row| match &row.outcome {
            Outcome::NoEvidence { reason } => Some((row.seed, reason.as_str())),
            Outcome::Ok(_) | Outcome::Skipped { .. } => None,
        })
    }

    /// Mean test accuracy over the seeds; none without evidence.
    pub fn mean(&self) -> Option<f64> {
        self.mean_of(|m| Some(m.accuracy))
    }

    /// The mean of another figure over the seeds that have it.
    pub fn mean_of(&self, figure: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.measured().filter_map(|(_, m)| figure(m)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The mean of what the thief itself saw, where it chose by `by`.
    pub fn validation(&self, by: ChosenBy) -> Option<f64> {
        self.mean_of(|m| m.validation.filter(|v| v.by == by).map(|v| v.score))
    }

    /// Test accuracy over the seeds, on `images` test images; none without evidence.
    pub fn estimate(&self, images: usize) -> Option<Estimate> {
        let accuracies: Vec<f64> = self.measured().map(|(_, m)| m.accuracy).collect();
        Estimate::of(&accuracies, images)
    }

    /// Whether the verdict may rest on it: it is of the battery and was measured.
    pub fn counts(&self) -> bool {
        self.first().in_verdict && self.measured().next().is_some()
    }

    /// Whether it was trained under the conditions of `other`.
    pub fn comparable(&self, other: &Row) -> bool {
        let row = self.first();
        let fixed = row.signal == Signal::Nothing && row.budget == 0;
        let budget = fixed || row.budget == other.budget;
        budget && row.student == other.student && row.share == other.share
    }

    /// Whether it is the same thief under the same conditions, against whomever.
    pub fn same_thief(&self, other: &Row) -> bool {
        let row = self.first();
        row.thief == other.thief && row.profile == other.profile && self.comparable(other)
    }
}

/// The cell with the best mean accuracy of those that `wanted` admits; the first of equal ones.
pub(super) fn best<'c, 'a>(
    cells: &'c [Cell<'a>],
    wanted: impl Fn(&Cell<'a>) -> bool,
) -> Option<&'c Cell<'a>> {
    let mut best: Option<(&Cell<'a>, f64)> = None;
    for cell in cells.iter().filter(|cell| wanted(cell)) {
        if let Some(mean) = cell.mean().filter(|mean| best.is_none_or(|(_, top)| *mean > top)) {
            best = Some((cell, mean));
        }
    }
    best.map(|(cell, _)| cell)
}

/// Whether a cell is a clone by someone who asks: of the battery, measured, against `against`.
pub(super) fn asks(cell: &Cell<'_>, against: Against) -> bool {
    cell.counts() && cell.first().against == against && cell.first().signal != Signal::Nothing
}
