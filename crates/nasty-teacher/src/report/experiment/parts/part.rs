//! What each part of an experiment adds to a report, and what their files share.

use super::super::measure::{Measured, Metric, axes, axis_cell, axis_column, measure, places};
use crate::lab::experiment::{AxisKind, PartKind, Place, Role};
use crate::lab::{Findings, Outcome, PartResult, Picture};
use crate::report::{Column, Figure, Pixels, Table};

/// What a part adds to a report.
pub(in super::super) struct PartReport {
    /// Its key in the names of files.
    pub(in super::super) key: &'static str,
    /// What was found, in a sentence or two.
    pub(in super::super) finding: fn(&Findings) -> Option<String>,
    /// Its table.
    pub(in super::super) table: fn(&Findings) -> Option<Table>,
    /// Its figure.
    pub(in super::super) figure: fn(&Findings) -> Option<Figure>,
    /// What its runs measure.
    pub(in super::super) metrics: &'static [Metric],
}

/// `metric` of `part` at `place`.
pub(super) fn of_part<'a>(
    findings: &'a Findings,
    part: PartKind,
    place: &Place,
    metric: &Metric,
) -> Measured<'a> {
    measure(findings, Role::Part(part), place, metric)
}

/// The places of `part`, in their order.
pub(super) fn places_of(findings: &Findings, part: PartKind) -> Vec<Place> {
    places(findings, |role| role == Role::Part(part))
}

/// A row for each of `rows`, their axes, then the part's metrics; rows that have none yet are left out.
pub(super) fn rows_of(
    findings: &Findings,
    part: PartKind,
    metrics: &[Metric],
    title: &str,
    rows: &[Place],
    always: &[AxisKind],
) -> Option<Table> {
    let axes = axes(rows, always);
    let axis_columns = axes.iter().map(|a| axis_column(*a));
    let columns: Vec<Column> = axis_columns.chain(metrics.iter().map(Metric::column)).collect();
    let mut table = Table { title: title.into(), columns, ..Table::default() };
    for place in rows {
        let measured: Vec<Measured> = metrics.iter().map(|m| of_part(findings, part, place, m)).collect();
        if measured.iter().any(|m| m.mean().is_some()) {
            let cells = measured.iter().zip(metrics).map(|(m, metric)| m.cell(metric));
            table.rows.push(axes.iter().map(|a| axis_cell(*a, place)).chain(cells).collect());
        }
    }
    Some(table).filter(|table| !table.rows.is_empty())
}

/// What came out for `part`, of the first seed that has something.
pub(super) fn first_seed<'a, T>(
    findings: &'a Findings,
    part: PartKind,
    pick: impl Fn(&'a PartResult) -> Option<T>,
) -> Vec<(&'a Place, T)> {
    let mut found = Vec::new();
    let mut seed = None;
    for entry in findings.record.entries.iter().filter(|e| e.role == Role::Part(part)) {
        let Some(Outcome::Part(result)) = findings.outcomes.get(&entry.task) else { continue };
        if let Some(picked) = pick(result)
            && *seed.get_or_insert(entry.seed) == entry.seed
        {
            found.push((&entry.place, picked));
        }
    }
    found
}

/// Pixels for a page.
pub(super) fn pixels((channels, data): &Picture, [height, width]: [usize; 2]) -> Pixels {
    Pixels { width, height, channels: *channels, data: data.clone() }
}
