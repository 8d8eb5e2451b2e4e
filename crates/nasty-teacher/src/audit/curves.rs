//! The best clone against the number of queries.

use super::Report;
use super::cells::{Cell, asks, best};
use super::report::{Against, Row};
use crate::metrics::{Interval, area, queries_to_reach};
use serde::Serialize;

/// The best clone at each rung of the ladder of budgets.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Curve {
    /// Who was asked.
    pub against: Against,
    /// The rungs, rising.
    pub points: Vec<Point>,
    /// Queries after which the best clone has 90 % of the accuracy of the victim that was asked; none if it does not get there.
    pub to_90_percent: Option<f64>,
    /// The same for 95 %.
    pub to_95_percent: Option<f64>,
    /// Mean accuracy over the logarithm of the queries; none of one rung.
    pub area: Option<f64>,
}

/// A rung.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Point {
    /// The budget, queries.
    pub budget: u64,
    /// The best thief.
    pub thief: String,
    /// Its mean accuracy.
    pub accuracy: f64,
    /// Its 95 % interval.
    pub interval: Interval,
}

/// The curve against `against` with the student and the share of the data of `worst`; none without points.
pub(super) fn curve(report: &Report, cells: &[Cell<'_>], worst: &Row, against: Against) -> Option<Curve> {
    let mut budgets: Vec<u64> = cells.iter().map(|cell| cell.first().budget).filter(|b| *b > 0).collect();
    budgets.sort_unstable();
    budgets.dedup();
    let point = |budget: u64| {
        let rung = Row { budget, ..worst.clone() };
        let cell = best(cells, |cell| asks(cell, against) && cell.comparable(&rung))?;
        let estimate = cell.estimate(report.protocol.test_images)?;
        let thief = cell.first().thief.clone();
        Some(Point { budget, thief, accuracy: estimate.mean, interval: estimate.interval })
    };
    let points: Vec<Point> = budgets.into_iter().filter_map(point).collect();
    let asked = match against {
        Against::Undefended => report.victim.undefended.as_ref().map(|u| u.accuracy),
        Against::Victim | Against::Nobody => None,
    };
    let victim = asked.unwrap_or(report.victim.accuracy);
    let places: Vec<(u64, f64)> = points.iter().map(|p| (p.budget, p.accuracy)).collect();
    let reach = |share: f64| queries_to_reach(&places, share * victim);
    (!points.is_empty()).then(|| Curve {
        against,
        to_90_percent: reach(0.9),
        to_95_percent: reach(0.95),
        area: area(&places),
        points,
    })
}
