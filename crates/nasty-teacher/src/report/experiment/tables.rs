//! The tables of teachers and students in the paper's form, for files: one row per network, one column per source.

use super::measure::{
    ACCURACY, SCALED_KL, axes, axis_cell, axis_column, measure, places, reference, results,
};
use super::words;
use crate::lab::Findings;
use crate::lab::experiment::{AxisKind, Place, Role, Source};
use crate::report::{Cell, Column, Mark, Table, Tone};

/// Says which seeds a table's figures come from, and what stands for what.
pub(super) fn note(findings: &Findings, paper: bool) -> String {
    let paper = if paper { words::paper(findings) } else { String::new() };
    words::seeds(findings) + &paper
}

pub(super) fn optional(value: Option<f64>) -> Cell {
    value.map_or(Cell::Empty, |v| Cell::number(v, 2))
}

/// What τ²·KL is.
pub(super) const KL: &str = " τ²·KL: mean distance of the nasty teacher's answers from its adversary's, on images not trained \
                             on; two honest networks are about 1 apart.";

/// The verdicts on the nasty teachers at `place`, each once.
pub(super) fn verdicts(findings: &Findings, place: &Place) -> String {
    let judged = results(findings, Role::NastyTeacher, place);
    let mut verdicts: Vec<&str> =
        judged.into_iter().filter_map(|r| Some(words::verdict(r.nastiness.as_ref()?.verdict))).collect();
    verdicts.dedup();
    verdicts.join(", ")
}

/// The teachers: what being nasty costs them.
pub(super) fn teachers(findings: &Findings) -> Option<Table> {
    let rows = places(findings, |role| role == Role::NastyTeacher);
    let axes: Vec<AxisKind> = axes(&rows, &[AxisKind::Teacher]);
    let settings = &findings.record.settings;
    let paper = rows.iter().any(|place| reference(settings, place, false).is_some());
    let mut columns: Vec<Column> = axes.iter().map(|a| axis_column(*a)).collect();
    columns.extend([
        Column::number("normal", "%"),
        Column::number("nasty", "%"),
        Column::number("difference", "points"),
        SCALED_KL.column(),
        Column::text("became"),
    ]);
    if paper {
        columns.extend(["paper: normal", "paper: nasty"].map(|name| Column::number(name, "%")));
    }
    let mut table = Table { title: "The teachers".into(), columns, ..Table::default() };
    for place in &rows {
        let normal = measure(findings, Role::NormalTeacher, place, &ACCURACY);
        let nasty = measure(findings, Role::NastyTeacher, place, &ACCURACY);
        let distance = measure(findings, Role::NastyTeacher, place, &SCALED_KL);
        let mut row: Vec<Cell> = axes.iter().map(|a| axis_cell(*a, place)).collect();
        row.extend([
            normal.cell(&ACCURACY),
            nasty.cell(&ACCURACY),
            nasty.minus(&normal).signed_cell(2),
            distance.cell(&SCALED_KL),
            Cell::text(verdicts(findings, place)),
        ]);
        if paper {
            let paper = reference(settings, place, false);
            row.extend([optional(paper.and_then(|r| r.normal)), optional(paper.and_then(|r| r.nasty))]);
        }
        if nasty.untrained() {
            table.marks.push(Mark { row: table.rows.len(), column: Some(axes.len() + 1), tone: Tone::Bad });
        }
        table.rows.push(row);
    }
    table.note = Some(note(findings, paper) + KL);
    Some(table).filter(|table| !table.rows.is_empty())
}

/// The students: what they get from each source, against the same network trained alone.
pub(super) fn students(findings: &Findings) -> Option<Table> {
    let settings = &findings.record.settings;
    let sources = &settings.student.as_ref()?.from;
    let rows = places(findings, |role| matches!(role, Role::Student(_)));
    let axes = axes(&rows, &[AxisKind::Student]);
    let paper_of = |place: &Place| reference(settings, place, true);
    let paper = rows.iter().any(|place| paper_of(place).is_some());
    let mut columns: Vec<Column> = axes.iter().map(|a| axis_column(*a)).collect();
    for &source in sources {
        columns.push(Column::number(words::source(source), "%"));
        if source != Source::Alone && sources.contains(&Source::Alone) {
            columns.push(Column::number("to alone", "points"));
        }
    }
    if paper {
        let names = ["paper: alone", "paper: from normal", "paper: from nasty"];
        columns.extend(names.map(|name| Column::number(name, "%")));
    }
    let mut table = Table { title: "The students".into(), columns, ..Table::default() };
    for place in &rows {
        let of = |source: Source| measure(findings, Role::Student(source), place, &ACCURACY);
        let alone = of(Source::Alone);
        let mut row: Vec<Cell> = axes.iter().map(|a| axis_cell(*a, place)).collect();
        for &source in sources {
            let measured = of(source);
            if measured.untrained() {
                table.marks.push(Mark { row: table.rows.len(), column: Some(row.len()), tone: Tone::Bad });
            }
            row.push(measured.cell(&ACCURACY));
            if source != Source::Alone && sources.contains(&Source::Alone) {
                row.push(measured.minus(&alone).signed_cell(2));
            }
        }
        if paper {
            let r = paper_of(place);
            row.extend(
                [r.and_then(|r| r.alone), r.and_then(|r| r.normal), r.and_then(|r| r.nasty)].map(optional),
            );
        }
        table.rows.push(row);
    }
    let mut text = note(findings, paper);
    if !table.marks.is_empty() {
        text += UNTRAINED;
    }
    table.note = Some(text);
    Some(table).filter(|table| !table.rows.is_empty())
}

/// What a marked student is.
pub(super) const UNTRAINED: &str =
    " Marked: students that could not be trained (at chance, or their loss was not finite).";
