//! The texts of a report: the conditions of its figures, and which of our networks stand for which of the paper's.

use super::super::number::{count, grouped};
use super::measure::{Metric, measure, places};
use crate::lab::experiment::{AxisKind, Place, Role, Source};
use crate::lab::{Findings, Verdict};
use crate::training::Recipe;

/// `a, b and c`.
pub(in crate::report) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// Which data, networks, epochs and seeds the figures come from: what a caption needs to stand alone.
pub(in crate::report) fn conditions(findings: &Findings) -> String {
    let record = &findings.record;
    let mut sentences = vec![data(findings)];
    let networks = |axis: AxisKind| {
        let mut names: Vec<String> = Vec::new();
        for name in record.entries.iter().map(|e| e.place.text(axis)).filter(|name| !name.is_empty()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    };
    let (teachers, students) = (networks(AxisKind::Teacher), networks(AxisKind::Student));
    let mut who =
        format!("{}: {}", if teachers.len() == 1 { "Teacher" } else { "Teachers" }, list(&teachers));
    if !students.is_empty() {
        who +=
            &format!("; {}: {}", if students.len() == 1 { "student" } else { "students" }, list(&students));
    }
    sentences.push(who);
    let mut epochs: Vec<usize> = findings.recipes.values().map(|recipe| recipe.epochs).collect();
    epochs.sort_unstable();
    let length = match (epochs.first(), epochs.last()) {
        (Some(least), Some(most)) if least == most => format!("{}, ", count(*least, "epoch")),
        (Some(least), Some(most)) => format!("{least} to {most} epochs, "),
        _ => String::new(),
    };
    let seeds: Vec<String> = record.settings.seeds.iter().map(ToString::to_string).collect();
    let seeds = format!("{} {}", if seeds.len() == 1 { "seed" } else { "seeds" }, list(&seeds));
    sentences.push(length + &seeds);
    let mut text = sentences.join(". ") + ".";
    let symbols = symbols(findings);
    if !symbols.is_empty() {
        text += &format!(" {}.", list(&symbols));
    }
    text
}

/// The data sets, with how many of their images were used.
fn data(findings: &Findings) -> String {
    let record = &findings.record;
    let of = |name: String| {
        let Some(facts) = record.data.get(&name) else { return name };
        let trained = |recipe: &Recipe| {
            let left = facts.train.saturating_sub(recipe.data.validation);
            (recipe.data.name.to_string() == name).then(|| recipe.data.subset.unwrap_or(left))
        };
        let mut images: Vec<usize> = findings.recipes.values().filter_map(trained).collect();
        images.sort_unstable();
        let images = match (images.first(), images.last()) {
            (Some(least), Some(most)) if least == most => format!("{} training images, ", grouped(*most)),
            (Some(least), Some(most)) => {
                format!("{} to {} training images, ", grouped(*least), grouped(*most))
            }
            _ => String::new(),
        };
        let side = facts.input.side;
        format!(
            "{name} ({images}{} test images of {side}×{side} pixels, {} classes)",
            grouped(facts.test),
            facts.classes
        )
    };
    format!(
        "Data: {}",
        list(&record.settings.data.iter().map(|name| of(name.to_string())).collect::<Vec<_>>())
    )
}

/// What the symbols on the page mean, of those that the experiment uses.
fn symbols(findings: &Findings) -> Vec<String> {
    let used = |axis: AxisKind| findings.record.entries.iter().any(|entry| entry.place.get(axis).is_some());
    let symbols = [
        (AxisKind::Omega, "ω is the weight of the undermining"),
        (AxisKind::TeacherTemperature, "τ a temperature of the softmax"),
        (AxisKind::Alpha, "α the weight of the teacher against the labels"),
    ];
    symbols.into_iter().filter(|(axis, _)| used(*axis)).map(|(_, words)| words.to_owned()).collect()
}

/// How figures over seeds were made.
pub(in crate::report) fn seeds(findings: &Findings) -> String {
    match findings.record.settings.seeds.len() {
        1 => "One seed.".to_owned(),
        n => format!(
            "Mean ± standard deviation over {}; differences are taken seed by seed, over the seeds that both have.",
            count(n, "seed")
        ),
    }
}

/// Where the paper's figures come from.
pub(in crate::report) fn paper(findings: &Findings) -> String {
    let stands = findings.record.settings.stands_for.iter();
    let pairs: Vec<String> = stands.map(|(ours, theirs)| format!("{ours} for its {theirs}")).collect();
    let mut text = " Paper: its figures, for its networks, its data and its epochs".to_owned();
    text += &if pairs.is_empty() { ".".to_owned() } else { format!("; here {} stand.", pairs.join(", ")) };
    text
}

/// What a student learns from, as headings say it.
pub(in crate::report) fn source(source: Source) -> &'static str {
    match source {
        Source::Alone => "alone",
        Source::Normal => "from normal",
        Source::Nasty => "from nasty",
        Source::NormalAsServed => "normal's probabilities as served",
        Source::NastyAsServed => "nasty's probabilities as served",
        Source::HardLabels => "nasty's hard labels",
        Source::Smoothing => "label smoothing",
    }
}

/// What a student learns from, as a row says it.
pub(in crate::report) fn learns_from(source: Source) -> &'static str {
    match source {
        Source::Alone => "labels alone",
        Source::Normal => "normal teacher and labels",
        Source::Nasty => "nasty teacher and labels",
        Source::NormalAsServed => "normal teacher's probabilities as served (τ = 1, no labels)",
        Source::NastyAsServed => "nasty teacher's probabilities as served (τ = 1, no labels)",
        Source::HardLabels => "nasty teacher's predicted classes only",
        Source::Smoothing => "smoothed labels",
    }
}

/// The colour of a role, the same on every plot: its place in the palette.
pub(in crate::report) fn color(role: Role) -> usize {
    match role {
        Role::NormalTeacher | Role::Student(Source::Normal) => 0,
        Role::NastyTeacher | Role::Student(Source::Nasty) => 1,
        Role::Student(Source::Smoothing) => 2,
        Role::Student(Source::NastyAsServed) => 3,
        Role::Student(Source::HardLabels) => 4,
        Role::Student(Source::NormalAsServed) => 5,
        Role::Adversary | Role::Part(_) => 6,
        Role::Student(Source::Alone) => 7,
    }
}

/// What became of a nasty teacher, in a word.
pub(in crate::report) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Nasty => "nasty",
        Verdict::NotNasty => "not nasty",
        Verdict::AccuracyBroken => "broken: accuracy",
        Verdict::CalibrationBroken => "broken: calibration",
    }
}

/// Whether every nasty teacher that was trained became nasty, with their distances; none if there is none yet.
pub(in crate::report) fn nastiness(findings: &Findings, metric: &Metric) -> Option<(bool, String)> {
    let teachers = places(findings, |role| role == Role::NastyTeacher);
    let judged: Vec<Verdict> = teachers
        .iter()
        .flat_map(|place| super::measure::results(findings, Role::NastyTeacher, place))
        .filter_map(|result| Some(result.nastiness.as_ref()?.verdict))
        .collect();
    let distances = |place: &Place| measure(findings, Role::NastyTeacher, place, metric).said(1);
    let distances: Vec<String> = teachers.iter().filter_map(distances).collect();
    let all = judged.iter().all(|v| *v == Verdict::Nasty);
    (!judged.is_empty()).then(|| (all, list(&distances)))
}
