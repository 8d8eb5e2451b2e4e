//! The tables of teachers and students for the terminal: one row per network, few columns. A network that occurs at
//! several places of the grid has one row.

use super::measure::{
    ACCURACY, Measured, SCALED_KL, axes, axis_cell, axis_column, measure, places, reference,
};
use super::tables::{KL, UNTRAINED, note, optional, verdicts};
use super::words;
use crate::lab::Findings;
use crate::lab::experiment::{AxisKind, Place, Role, Source};
use crate::report::{Cell, Column, Mark, Table, Tone};

/// The teachers: what being nasty costs them.
pub(super) fn teachers(findings: &Findings) -> Option<Table> {
    let nasty = places(findings, |role| role == Role::NastyTeacher);
    let axes = words_first(axes(&nasty, &[AxisKind::Teacher]));
    let settings = &findings.record.settings;
    let paper = nasty.iter().any(|place| reference(settings, place, false).is_some());
    let mut columns: Vec<Column> = axes.iter().map(|a| axis_column(*a)).collect();
    let after_teacher = axes.iter().position(|a| *a == AxisKind::Teacher).unwrap_or(0) + 1;
    columns.insert(after_teacher, Column::text("teacher is"));
    columns.extend([
        ACCURACY.column(),
        Column::number("against normal", "points"),
        SCALED_KL.column(),
        Column::text("became"),
    ]);
    if paper {
        columns.push(Column::number("paper", "%"));
    }
    let mut table = Table { title: "The teachers".into(), columns, ..Table::default() };
    let mut normals: Vec<Vec<&str>> = Vec::new();
    for place in &nasty {
        let of = |role| measure(findings, role, place, &ACCURACY);
        let (normal, nasty) = (of(Role::NormalTeacher), of(Role::NastyTeacher));
        let paper_of = reference(settings, place, false);
        let mut row =
            |place: &Place, is: &str, measured: &Measured, rest: [Cell; 3], of_paper: Option<f64>| {
                let mut row: Vec<Cell> = axes.iter().map(|a| axis_cell(*a, place)).collect();
                row.insert(after_teacher, Cell::text(is));
                row.push(measured.cell(&ACCURACY));
                row.extend(rest);
                if paper {
                    row.push(optional(of_paper));
                }
                if measured.untrained() {
                    let column = Some(axes.len() + 1);
                    table.marks.push(Mark { row: table.rows.len(), column, tone: Tone::Bad });
                }
                table.rows.push(row);
            };
        if !normals.contains(&normal.tasks) {
            let undermining = [AxisKind::Omega, AxisKind::TeacherTemperature, AxisKind::Adversary];
            let place = place.clone().without(&undermining);
            row(&place, "normal", &normal, Default::default(), paper_of.and_then(|r| r.normal));
            normals.push(normal.tasks.clone());
        }
        let distance = measure(findings, Role::NastyTeacher, place, &SCALED_KL);
        let rest = [
            nasty.minus(&normal).signed_cell(2),
            distance.cell(&SCALED_KL),
            Cell::text(verdicts(findings, place)),
        ];
        row(place, "nasty", &nasty, rest, paper_of.and_then(|r| r.nasty));
    }
    table.note = Some(note(findings, paper) + KL);
    Some(table).filter(|table| !table.rows.is_empty())
}

/// Names before numbers: a row begins with what it is about.
fn words_first(mut axes: Vec<AxisKind>) -> Vec<AxisKind> {
    axes.sort_by_key(|axis| axis.is_number());
    axes
}

/// A student's row before it is a row: the places that its runs stand at.
struct Row<'a> {
    source: Source,
    places: Vec<Place>,
    measured: Measured<'a>,
}

/// The students, each against the same network trained alone.
pub(super) fn students(findings: &Findings) -> Option<Table> {
    let settings = &findings.record.settings;
    let sources = &settings.student.as_ref()?.from;
    let places = places(findings, |role| matches!(role, Role::Student(_)));
    let axes = words_first(axes(&places, &[AxisKind::Student]));
    let mut rows: Vec<Row> = Vec::new();
    for place in &places {
        for &source in sources {
            let measured = measure(findings, Role::Student(source), place, &ACCURACY);
            let same = |row: &&mut Row| row.source == source && row.measured.tasks == measured.tasks;
            match rows.iter_mut().find(same) {
                Some(row) => row.places.push(place.clone()),
                None => rows.push(Row { source, places: vec![place.clone()], measured }),
            }
        }
    }
    // Students side by side with their baseline: words before numbers, sources in their order.
    let order = |row: &Row| {
        let words: Vec<usize> = axes
            .iter()
            .filter(|axis| !axis.is_number())
            .map(|axis| {
                let text = row.places[0].text(*axis);
                places.iter().position(|place| place.text(*axis) == text).unwrap_or(0)
            })
            .collect();
        (words, sources.iter().position(|s| *s == row.source))
    };
    rows.sort_by_key(order);

    let paper_of = |row: &Row| {
        let r = reference(settings, &row.places[0], true)?;
        match row.source {
            Source::Alone => r.alone,
            Source::Normal => r.normal,
            Source::Nasty => r.nasty,
            _ => None,
        }
    };
    let paper = rows.iter().any(|row| paper_of(row).is_some());
    let against = sources.contains(&Source::Alone) && sources.len() > 1;
    let mut columns: Vec<Column> = axes.iter().map(|a| axis_column(*a)).collect();
    let after_student = axes.iter().position(|a| *a == AxisKind::Student).unwrap_or(0) + 1;
    columns.insert(after_student, Column::text("learns from"));
    columns.push(ACCURACY.column());
    if against {
        columns.push(Column::number("against alone", "points"));
    }
    if paper {
        columns.push(Column::number("paper", "%"));
    }
    let mut table = Table { title: "The students".into(), columns, ..Table::default() };
    for row in &rows {
        let one = &row.places[0];
        let common = |axis: &AxisKind| row.places.iter().all(|p| p.get(*axis) == one.get(*axis));
        let mut cells: Vec<Cell> =
            axes.iter().map(|a| if common(a) { axis_cell(*a, one) } else { Cell::text("any") }).collect();
        cells.insert(after_student, Cell::text(words::learns_from(row.source)));
        if row.measured.untrained() {
            table.marks.push(Mark { row: table.rows.len(), column: Some(cells.len()), tone: Tone::Bad });
        }
        cells.push(row.measured.cell(&ACCURACY));
        if against {
            let alone = measure(findings, Role::Student(Source::Alone), one, &ACCURACY);
            let difference = row.measured.minus(&alone).signed_cell(2);
            cells.push(if row.source == Source::Alone { Cell::Empty } else { difference });
        }
        if paper {
            cells.push(optional(paper_of(row)));
        }
        table.rows.push(cells);
    }
    let mut text = note(findings, paper);
    if !table.marks.is_empty() {
        text += UNTRAINED;
    }
    table.note = Some(text);
    Some(table).filter(|table| !table.rows.is_empty())
}
