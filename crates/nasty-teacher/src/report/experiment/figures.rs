//! The figures of teachers and students: sweeps as curves, other grids as bars, and learning curves.

use super::measure::{ACCURACY, Measured, at, measure, places};
use super::{parts, words};
use crate::lab::experiment::{AxisKind, AxisScale, PartKind, Place, Role, Source};
use crate::lab::{Findings, Outcome};
use crate::report::{Axis as PlotAxis, BarGroup, BarPlot, Figure, LinePanel, LinePlot, Plot, Series};

/// Small plots in a figure, at most.
const PANELS: usize = 12;

/// The figure of one part, with the name of its files.
pub(super) fn part_figure(findings: &Findings, part: PartKind) -> Option<Figure> {
    Some(named((parts::of(part).figure)(findings)?, &findings.record.report_name()))
}

/// `figure`, the names of its files beginning with `stem`.
pub(super) fn named(figure: Figure, stem: &str) -> Figure {
    Figure { name: format!("{stem}-{}", figure.name), ..figure }
}

/// What students lose or gain by source: over the numbers of a sweep, or as bars.
pub(super) fn students(findings: &Findings) -> Option<Figure> {
    let sources = &findings.record.settings.student.as_ref()?.from;
    let rows = places(findings, |role| matches!(role, Role::Student(_)));
    let varying = Place::varying(&rows);
    let numeric: Vec<AxisKind> = varying.iter().copied().filter(|axis| axis.is_number()).collect();
    match numeric[..] {
        [sweep] => Some(sweep_figure(findings, &rows, sweep, sources)),
        _ => Some(bars(findings, &rows, &varying, sources)),
    }
}

/// Differences to alone from zero, or accuracies where nobody learned alone.
fn bars(findings: &Findings, rows: &[Place], varying: &[AxisKind], sources: &[Source]) -> Figure {
    let names: Vec<AxisKind> =
        varying.iter().copied().filter(|a| *a != AxisKind::Student).chain([AxisKind::Student]).collect();
    let category = |place: &Place| {
        let name = |axis: &AxisKind| if axis.is_number() { at(&[*axis], place) } else { place.text(*axis) };
        names.iter().map(name).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" · ")
    };
    let against = sources.contains(&Source::Alone) && sources.len() > 1;
    let group = |&source: &Source| {
        let cell = |place: &Place| {
            let of = |source| measure(findings, Role::Student(source), place, &ACCURACY);
            if against { of(source).minus(&of(Source::Alone)) } else { of(source) }
        };
        let cells: Vec<Measured> = rows.iter().map(cell).collect();
        let spread: Vec<f64> = cells.iter().map(|c| c.spread().unwrap_or(0.0)).collect();
        BarGroup {
            name: words::learns_from(source).into(),
            values: cells.iter().map(|c| c.mean().unwrap_or(f64::NAN)).collect(),
            spread: if spread.iter().any(|s| *s > 0.0) { spread } else { Vec::new() },
            color: Some(words::color(Role::Student(source))),
        }
    };
    let groups = sources.iter().filter(|source| !(against && **source == Source::Alone)).map(group).collect();
    let (title, label) = match against {
        true => ("What each source gives a student", "test accuracy against the same network alone (points)"),
        false => ("What students reach", "test accuracy (%)"),
    };
    let headings: Vec<&str> = names.iter().map(|a| a.spec().heading).collect();
    Figure {
        title: title.into(),
        caption: format!(
            "{} Names: {}. {}",
            words::seeds(findings),
            headings.join(" · "),
            words::conditions(findings)
        ),
        plot: Plot::Bars(BarPlot {
            categories: rows.iter().map(category).collect(),
            groups,
            axis: PlotAxis::new(label),
            decimals: 1,
            signed: against,
            marks: !against,
            single: false,
        }),
        name: "students".into(),
    }
}

/// The plot axis of a sweep over `values`.
fn sweep_axis(sweep: AxisKind, values: &[f64]) -> PlotAxis {
    let spec = sweep.spec();
    let log = spec.scale == AxisScale::Logarithmic && values.iter().any(|v| *v > 0.0);
    let mut at: Vec<f64> = Vec::new();
    for value in values {
        if !at.contains(value) {
            at.push(*value);
        }
    }
    PlotAxis { log, at, ..PlotAxis::new(spec.heading) }
}

fn sweep_figure(findings: &Findings, rows: &[Place], sweep: AxisKind, sources: &[Source]) -> Figure {
    let mut panels = Vec::new();
    if matches!(sweep, AxisKind::Omega | AxisKind::TeacherTemperature) {
        let teachers = places(findings, |role| role == Role::NastyTeacher);
        let teachers: Vec<&Place> = teachers.iter().collect();
        let series = [(Role::NormalTeacher, "normal teacher"), (Role::NastyTeacher, "nasty teacher")]
            .map(|(role, name)| curve(findings, role, name, &teachers, sweep));
        panels.push(LinePanel { title: "teachers".into(), series: series.into() });
    }
    let others: Vec<AxisKind> = Place::varying(rows).into_iter().filter(|axis| *axis != sweep).collect();
    let others = if others.is_empty() { vec![AxisKind::Student] } else { others };
    let mut titles: Vec<String> = Vec::new();
    for title in rows.iter().map(|place| at(&others, place)) {
        if !titles.contains(&title) {
            titles.push(title);
        }
    }
    for title in titles {
        let of: Vec<&Place> = rows.iter().filter(|place| at(&others, place) == title).collect();
        let series = sources.iter().map(|&source| {
            curve(
                findings,
                Role::Student(source),
                &format!("student: {}", words::learns_from(source)),
                &of,
                sweep,
            )
        });
        panels.push(LinePanel { title: format!("student {title}"), series: series.collect() });
    }
    let left_out = panels.len().saturating_sub(PANELS);
    panels.truncate(PANELS);
    let heading = sweep.spec().heading;
    let bands = match findings.record.settings.seeds.len() {
        1 => String::new(),
        _ => " Bands: ± standard deviation over seeds.".to_owned(),
    };
    let left_out = match left_out {
        0 => String::new(),
        n => format!(" {n} more students are in the table only."),
    };
    let values: Vec<f64> = rows.iter().filter_map(|place| place.get_number(sweep)).collect();
    // A single plot is drawn large.
    let (series, panels) = match panels.len() {
        1 => (panels.remove(0).series, Vec::new()),
        _ => (Vec::new(), panels),
    };
    Figure {
        title: format!("Accuracy over {heading}"),
        caption: format!("Test accuracy over {heading}.{bands}{left_out} {}", words::conditions(findings)),
        plot: Plot::Lines(LinePlot {
            x: sweep_axis(sweep, &values),
            y: PlotAxis::new("test accuracy (%)"),
            series,
            panels,
        }),
        name: "sweep".into(),
    }
}

fn curve(findings: &Findings, role: Role, name: &str, rows: &[&Place], sweep: AxisKind) -> Series {
    let mut cells: Vec<(f64, Measured)> = Vec::new();
    for place in rows {
        if let Some(x) = place.get_number(sweep) {
            cells.push((x, measure(findings, role, place, &ACCURACY)));
        }
    }
    cells.sort_by(|a, b| a.0.total_cmp(&b.0));
    let points = cells.iter().map(|(x, c)| (*x, c.mean().unwrap_or(f64::NAN))).collect();
    let band = |(x, c): &(f64, Measured)| Some((*x, c.mean()? - c.spread()?, c.mean()? + c.spread()?));
    Series {
        name: name.into(),
        points,
        dashed: matches!(role, Role::Student(Source::Alone) | Role::NormalTeacher),
        band: cells.iter().filter_map(band).collect(),
        color: Some(words::color(role)),
    }
}

/// Learning curves of the first seed: of the teachers, and of the students, a small plot for each place of the grid.
pub(super) fn learning_curves(findings: &Findings) -> Vec<Figure> {
    let teacher = |role: Role| matches!(role, Role::NormalTeacher | Role::NastyTeacher | Role::Adversary);
    let student = |role: Role| matches!(role, Role::Student(_) | Role::Part(_));
    [
        curves(findings, "Learning curves of the teachers", "teachers-curves", &teacher),
        curves(findings, "Learning curves of the students", "students-curves", &student),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn curves(findings: &Findings, title: &str, name: &str, wanted: &dyn Fn(Role) -> bool) -> Option<Figure> {
    let record = &findings.record;
    let seed = record.settings.seeds.first().copied()?;
    let mut rows = places(findings, |role| wanted(role) && role != Role::NormalTeacher);
    // An analysis trains nothing; an attack that trains a student has one at its place.
    rows.retain(|place| !wanted(Role::Student(Source::Alone)) || place.get(AxisKind::Student).is_some());
    let varying = Place::varying(&rows);
    let axes: Vec<AxisKind> = varying.into_iter().filter(|axis| *axis != AxisKind::Side).collect();
    let mut panels: Vec<LinePanel> = Vec::new();
    let mut held_out = true;
    for place in &rows {
        let title = at(&axes, place);
        if panels.iter().any(|panel| panel.title == title) {
            continue;
        }
        let same = |other: &Place| other.agrees(&place.clone().without(&[AxisKind::Side]));
        let mut series: Vec<Series> = Vec::new();
        for entry in record.entries.iter().filter(|e| wanted(e.role) && e.seed == seed && same(&e.place)) {
            let Some(Outcome::Trained(_, epochs)) = findings.outcomes.get(&entry.task) else { continue };
            held_out &= epochs.iter().all(|row| row.selection.is_some());
            let point = |row: &crate::training::EpochRow| {
                let accuracy = row.selection.as_ref().map_or(row.train_accuracy, |s| s.accuracy);
                (row.epoch as f64 + 1.0, 100.0 * accuracy)
            };
            let (name, color) = curve_name(entry.role, &entry.place);
            series.push(Series {
                name,
                points: epochs.iter().map(point).collect(),
                dashed: matches!(entry.role, Role::Student(Source::Alone) | Role::NormalTeacher),
                band: Vec::new(),
                color: Some(color),
            });
        }
        if !series.is_empty() {
            panels.push(LinePanel { title, series });
        }
    }
    let left_out = panels.len().saturating_sub(PANELS);
    panels.truncate(PANELS);
    let what = if held_out { "on the held-out images that choose the epoch" } else { "on training images" };
    let left_out = match left_out {
        0 => String::new(),
        n => format!(
            " {n} more plots are left out; their curves are in metrics.jsonl of the runs, and for TensorBoard."
        ),
    };
    let (series, panels) = match panels.len() {
        0 => return None,
        1 => (panels.remove(0).series, Vec::new()),
        _ => (Vec::new(), panels),
    };
    Some(Figure {
        title: title.into(),
        caption: format!("Accuracy {what}, seed {seed}.{left_out} {}", words::conditions(findings)),
        plot: Plot::Lines(LinePlot {
            x: PlotAxis::whole("epoch"),
            y: PlotAxis::new("accuracy (%)"),
            series,
            panels,
        }),
        name: name.into(),
    })
}

/// A learning curve's name and colour.
fn curve_name(role: Role, place: &Place) -> (String, usize) {
    let name = match role {
        Role::NormalTeacher => "normal teacher".to_owned(),
        Role::NastyTeacher => "nasty teacher".to_owned(),
        Role::Adversary => "adversary".to_owned(),
        Role::Student(source) => words::learns_from(source).to_owned(),
        Role::Part(_) => format!("without data, from {}", place.text(AxisKind::Side)),
    };
    let color = match place.side() {
        Some(crate::lab::experiment::Side::Normal) => words::color(Role::NormalTeacher),
        Some(crate::lab::experiment::Side::Nasty) => words::color(Role::NastyTeacher),
        None => words::color(role),
    };
    (name, color)
}
