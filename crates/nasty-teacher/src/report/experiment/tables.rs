//! The tables of an experiment.

use super::summary::{Axis, Summary, places, reference, results};
use crate::analysis::tsne::Layer;
use crate::lab::experiment::{Place, Role, Side, Source};
use crate::lab::{Findings, Outcome, Verdict};
use crate::report::{Cell, Column, Mark, Table, Tone};

/// Says which seeds a table's figures come from, and what stands for what.
fn note(findings: &Findings, paper: bool) -> String {
    let settings = &findings.record.settings;
    let mut text = match settings.seeds.len() {
        1 => "One seed.".to_owned(),
        n => format!("Mean ± standard deviation over {n} seeds; differences are taken seed by seed."),
    };
    if paper {
        let pairs: Vec<String> =
            settings.stands_for.iter().map(|(ours, theirs)| format!("{ours} for its {theirs}")).collect();
        text += " Paper: its figures, for its networks, its data and its epochs";
        text +=
            &if pairs.is_empty() { ".".to_owned() } else { format!("; here {} stand.", pairs.join(", ")) };
    }
    text
}

fn optional(value: Option<f64>) -> Cell {
    value.map_or(Cell::Empty, |v| Cell::number(v, 2))
}

/// The teachers: what being nasty costs them.
pub(super) fn teachers(findings: &Findings) -> Option<Table> {
    let rows = places(findings, |role| role == Role::NastyTeacher);
    let axes: Vec<Axis> = axes_with(&rows, Axis::Teacher);
    let settings = &findings.record.settings;
    let paper = rows.iter().any(|place| reference(settings, place, None).is_some());
    let mut columns: Vec<Column> = axes.iter().map(|a| column(*a)).collect();
    columns.extend([
        Column::number("normal", "%"),
        Column::number("nasty", "%"),
        Column::number("difference", "points"),
        Column::number("τ²·KL", ""),
        Column::text("became"),
    ]);
    if paper {
        columns.extend([Column::number("paper: normal", "%"), Column::number("nasty", "%")]);
    }
    let mut table = Table { title: "The teachers".into(), columns, ..Table::default() };
    for place in &rows {
        let normal_place = Place { omega: 0.0, teacher_temperature: 1.0, ..place.clone() };
        let normal = Summary::of(findings, Role::NormalTeacher, &normal_place);
        let nasty = Summary::of(findings, Role::NastyTeacher, place);
        let judged: Vec<_> = results(findings, Role::NastyTeacher, place)
            .into_iter()
            .filter_map(|r| r.nastiness.as_ref())
            .collect();
        let distances: Vec<f64> = judged.iter().map(|n| n.scaled_kl).collect();
        let (distance, spread) = super::summary::mean_and_spread(&distances);
        let mut verdicts: Vec<&str> = judged.iter().map(|n| verdict(n.verdict)).collect();
        verdicts.dedup();
        let mut row: Vec<Cell> = axes.iter().map(|a| cell(*a, place)).collect();
        row.extend([
            normal.cell(),
            nasty.cell(),
            nasty.difference(&normal),
            distance.map_or(Cell::Empty, |value| Cell::Number { value, spread, decimals: 1, signed: false }),
            Cell::text(verdicts.join(", ")),
        ]);
        if paper {
            let paper = reference(settings, place, None);
            row.extend([optional(paper.and_then(|r| r.normal)), optional(paper.and_then(|r| r.nasty))]);
        }
        if nasty.untrained() {
            table.marks.push(Mark { row: table.rows.len(), column: Some(axes.len() + 1), tone: Tone::Bad });
        }
        table.rows.push(row);
    }
    let kl = " τ²·KL: mean distance of the nasty teacher's answers from its adversary's, on images not trained on; two honest \
              networks are about 1 apart.";
    table.note = Some(note(findings, paper) + kl);
    Some(table).filter(|table| !table.rows.is_empty())
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Nasty => "nasty",
        Verdict::NotNasty => "not nasty",
        Verdict::AccuracyBroken => "broken: accuracy",
        Verdict::CalibrationBroken => "broken: calibration",
    }
}

/// What stands in headings for each source.
pub(super) fn source_name(source: Source) -> &'static str {
    match source {
        Source::Alone => "alone",
        Source::Normal => "from normal",
        Source::Nasty => "from nasty",
        Source::HardLabels => "nasty's hard labels",
        Source::Smoothing => "label smoothing",
    }
}

/// The students: what they get from each source, against the same network trained alone.
pub(super) fn students(findings: &Findings) -> Option<Table> {
    let settings = &findings.record.settings;
    let sources = &settings.student.as_ref()?.from;
    let rows = places(findings, |role| matches!(role, Role::Student(_)));
    let axes = axes_with(&rows, Axis::Student);
    let paper_of = |place: &Place| reference(settings, place, place.student.as_deref());
    let paper = rows.iter().any(|place| paper_of(place).is_some());
    let mut columns: Vec<Column> = axes.iter().map(|a| column(*a)).collect();
    for &source in sources {
        columns.push(Column::number(source_name(source), "%"));
        if source != Source::Alone && sources.contains(&Source::Alone) {
            columns.push(Column::number("to alone", "points"));
        }
    }
    if paper {
        let names = ["paper: alone", "from normal", "from nasty"];
        columns.extend(names.map(|name| Column::number(name, "%")));
    }
    let mut table = Table { title: "The students".into(), columns, ..Table::default() };
    for place in &rows {
        let of = |source: Source| Summary::of(findings, Role::Student(source), place);
        let alone = of(Source::Alone);
        let mut row: Vec<Cell> = axes.iter().map(|a| cell(*a, place)).collect();
        for &source in sources {
            let summary = of(source);
            if summary.untrained() {
                table.marks.push(Mark { row: table.rows.len(), column: Some(row.len()), tone: Tone::Bad });
            }
            row.push(summary.cell());
            if source != Source::Alone && sources.contains(&Source::Alone) {
                row.push(summary.difference(&alone));
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
        text += " Marked: students that could not be trained (at chance, or their loss was not finite).";
    }
    table.note = Some(text);
    Some(table).filter(|table| !table.rows.is_empty())
}

/// Students that were distilled without data.
pub(super) fn data_free(findings: &Findings) -> Option<Table> {
    let settings = &findings.record.settings;
    let rows = places(findings, |role| matches!(role, Role::DataFree(_)));
    let axes = axes_with(&rows, Axis::Student);
    let paper_of = |place: &Place| reference(settings, place, place.student.as_deref());
    let paper = rows.iter().any(|place| paper_of(place).is_some());
    let mut columns: Vec<Column> = axes.iter().map(|a| column(*a)).collect();
    columns.extend(["from normal", "from nasty"].map(|name| Column::number(name, "%")));
    columns.push(Column::number("difference", "points"));
    if paper {
        columns.extend(["paper: from normal", "from nasty"].map(|name| Column::number(name, "%")));
    }
    let mut table = Table { title: "Students distilled without data".into(), columns, ..Table::default() };
    for place in &rows {
        let [normal, nasty] = Side::BOTH.map(|side| Summary::of(findings, Role::DataFree(side), place));
        let mut row: Vec<Cell> = axes.iter().map(|a| cell(*a, place)).collect();
        row.extend([normal.cell(), nasty.cell(), nasty.difference(&normal)]);
        if paper {
            let r = paper_of(place);
            row.extend([r.and_then(|r| r.normal), r.and_then(|r| r.nasty)].map(optional));
        }
        table.rows.push(row);
    }
    table.note = Some(note(findings, paper));
    Some(table).filter(|table| !table.rows.is_empty())
}

/// How far the classes are clusters in features and in logits.
pub(super) fn clusters(findings: &Findings) -> Option<Table> {
    let columns = vec![
        Column::text("teacher"),
        Column::text("space"),
        Column::number("seed", ""),
        Column::number("class of ten neighbours", "%"),
        Column::number("silhouette", ""),
    ];
    let mut table = Table { title: "How far classes are clusters".into(), columns, ..Table::default() };
    for entry in &findings.record.entries {
        let (Role::Embedding(side, layer), Some(Outcome::Mapped(result))) =
            (entry.role, findings.outcomes.get(&entry.task))
        else {
            continue;
        };
        table.rows.push(vec![
            Cell::text(format!("{} {}", side.name(), entry.place.teacher)),
            Cell::text(layer_name(layer)),
            Cell::number(entry.seed as f64, 0),
            Cell::number(100.0 * result.map.original.neighbour_accuracy, 1),
            Cell::number(result.map.original.silhouette, 3),
        ]);
    }
    table.note = Some(
        "In the network's own space, not on the map: the share of test images whose class is the commonest among their ten \
         nearest; mean silhouette, 1 for tight clusters far apart, 0 for mixed ones."
            .into(),
    );
    Some(table).filter(|table| !table.rows.is_empty())
}

/// `features` or `logits`.
pub(super) fn layer_name(layer: Layer) -> &'static str {
    match layer {
        Layer::Features => "features",
        Layer::Logits => "logits",
    }
}

/// What networks see in images pulled out of the teachers.
pub(super) fn inversions(findings: &Findings) -> Option<Table> {
    let columns = vec![
        Column::text("images from"),
        Column::number("seed", ""),
        Column::number("seen as wanted by itself", "%"),
        Column::number("by the other teacher", "%"),
        Column::number("distance of statistics", ""),
        Column::number("total variation", ""),
    ];
    let mut table = Table { title: "What networks see in the images".into(), columns, ..Table::default() };
    for entry in &findings.record.entries {
        let (Role::Inversion(side), Some(Outcome::Inverted(result, _))) =
            (entry.role, findings.outcomes.get(&entry.task))
        else {
            continue;
        };
        let share =
            |r: &crate::attacks::inversion::Recognised| 100.0 * r.as_wanted as f64 / r.total.max(1) as f64;
        let last = result.rows.last();
        table.rows.push(vec![
            Cell::text(format!("{} {}", side.name(), entry.place.teacher)),
            Cell::number(entry.seed as f64, 0),
            Cell::number(share(&result.network), 1),
            result.judge.as_ref().map_or(Cell::Empty, |judge| Cell::number(share(judge), 1)),
            last.map_or(Cell::Empty, |row| Cell::number(row.statistics, 2)),
            last.map_or(Cell::Empty, |row| Cell::number(row.total_variation, 1)),
        ]);
    }
    Some(table).filter(|table| !table.rows.is_empty())
}

/// How sharp the teachers' answers are.
pub(super) fn sharpness(findings: &Findings) -> Option<Table> {
    let columns = vec![
        Column::text("teacher"),
        Column::number("seed", ""),
        Column::number("τ", ""),
        Column::number("with several peaks", "%"),
        Column::number("peaks", ""),
        Column::number("entropy", "nats"),
        Column::number("largest probability", ""),
    ];
    let mut table = Table {
        title: "How sharp the answers are, over all test images".into(),
        columns,
        ..Table::default()
    };
    for entry in &findings.record.entries {
        let Some(Outcome::Answered(result, _)) = findings.outcomes.get(&entry.task) else { continue };
        for (side, s) in Side::BOTH.iter().zip(&result.sharpness) {
            table.rows.push(vec![
                Cell::text(format!("{} {}", side.name(), entry.place.teacher)),
                Cell::number(entry.seed as f64, 0),
                Cell::number(result.temperature, 0),
                Cell::number(100.0 * s.multi_peaked, 1),
                Cell::number(s.peaks, 2),
                Cell::number(s.entropy, 3),
                Cell::number(s.confidence, 3),
            ]);
        }
    }
    table.note = Some(
        "A peak is a class with at least a quarter of the largest probability, that one included.".into(),
    );
    Some(table).filter(|table| !table.rows.is_empty())
}

/// The varying axes, and `always`.
fn axes_with(rows: &[Place], always: Axis) -> Vec<Axis> {
    let varying = Axis::varying(rows);
    Axis::ALL.into_iter().filter(|axis| varying.contains(axis) || *axis == always).collect()
}

fn column(axis: Axis) -> Column {
    match axis {
        Axis::Data | Axis::Teacher | Axis::Adversary | Axis::Student => Column::text(axis.heading()),
        _ => Column::number(axis.heading(), ""),
    }
}

fn cell(axis: Axis, place: &Place) -> Cell {
    match axis.number(place) {
        Some(number) => Cell::number(number, decimals(number)),
        None => Cell::text(axis.text(place)),
    }
}

/// As many places as a short number has: 0.025 has three.
fn decimals(number: f64) -> usize {
    let text = number.to_string();
    text.split_once('.').map_or(0, |(_, places)| places.len().min(4))
}
