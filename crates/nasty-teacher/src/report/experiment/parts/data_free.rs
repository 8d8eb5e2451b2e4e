//! Students distilled without data.

use super::super::measure::{ACCURACY, Measured, axes, axis_cell, axis_column, reference};
use super::super::tables::{note, optional};
use super::part::{PartReport, of_part, places_of};
use crate::lab::Findings;
use crate::lab::experiment::{AxisKind, PartKind, Place, Side, Value};
use crate::report::{Column, Table};

const PART: PartKind = PartKind::DataFree;

pub(super) const REPORT: PartReport =
    PartReport { key: "data-free", finding, table, figure: |_| None, metrics: &[ACCURACY] };

/// The places of students, whichever teacher they are of.
fn rows(findings: &Findings) -> Vec<Place> {
    let mut rows: Vec<Place> = Vec::new();
    for place in places_of(findings, PART) {
        let place = place.without(&[AxisKind::Side]);
        if !rows.contains(&place) {
            rows.push(place);
        }
    }
    rows
}

/// The student of the normal and that of the nasty teacher.
fn pair<'a>(findings: &'a Findings, place: &Place) -> [Measured<'a>; 2] {
    Side::BOTH.map(|side| {
        let place = place.clone().with(AxisKind::Side, Value::Side(side));
        of_part(findings, PART, &place, &ACCURACY)
    })
}

fn finding(findings: &Findings) -> Option<String> {
    let said = |place: &Place| {
        let [normal, nasty] = pair(findings, place);
        Some(format!(
            "Without data, {} on {} gets {} % out of the normal teacher and {} % out of the nasty one ({} points).",
            place.text(AxisKind::Student),
            place.text(AxisKind::Data),
            normal.said(1)?,
            nasty.said(1)?,
            nasty.minus(&normal).signed(1)?
        ))
    };
    let sentences: Vec<String> = rows(findings).iter().filter_map(said).collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

fn table(findings: &Findings) -> Option<Table> {
    let rows = rows(findings);
    let axes = axes(&rows, &[AxisKind::Student]);
    let paper_of = |place: &Place| reference(&findings.record.settings, place, true);
    let paper = rows.iter().any(|place| paper_of(place).is_some());
    let mut columns: Vec<Column> = axes.iter().map(|a| axis_column(*a)).collect();
    columns.extend(["from normal", "from nasty"].map(|name| Column::number(name, "%")));
    columns.push(Column::number("difference", "points"));
    if paper {
        columns.extend(["paper: from normal", "paper: from nasty"].map(|name| Column::number(name, "%")));
    }
    let mut table = Table { title: "Students distilled without data".into(), columns, ..Table::default() };
    for place in &rows {
        let [normal, nasty] = pair(findings, place);
        let cells = [normal.cell(&ACCURACY), nasty.cell(&ACCURACY), nasty.minus(&normal).signed_cell(2)];
        let mut row: Vec<_> = axes.iter().map(|a| axis_cell(*a, place)).chain(cells).collect();
        if paper {
            let r = paper_of(place);
            row.extend([r.and_then(|r| r.normal), r.and_then(|r| r.nasty)].map(optional));
        }
        table.rows.push(row);
    }
    table.note = Some(note(findings, paper));
    Some(table).filter(|table| !table.rows.is_empty())
}
