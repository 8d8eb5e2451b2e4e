//! `report.json`: every cell with its seeds and runs, for machines.

use super::facts::machines_of;
use super::measure::{ACCURACY, Measured, measure, reference};
use super::parts;
use crate::lab::experiment::{AxisKind, PartKind, Place, Role, Side, Source, Value};
use crate::lab::{Findings, Outcome};
use serde::Serialize;
use std::collections::BTreeMap;

/// Version of `report.json`.
pub const REPORT_FORMAT: u32 = 2;

#[derive(Serialize)]
pub(super) struct ReportJson<'a> {
    format: u32,
    experiments: Vec<ExperimentJson<'a>>,
}

#[derive(Serialize)]
struct ExperimentJson<'a> {
    name: &'a str,
    scale: String,
    title: &'a str,
    command: &'a str,
    seeds: &'a [u64],
    machines: Vec<String>,
    findings: Vec<String>,
    cells: Vec<CellJson<'a>>,
}

#[derive(Serialize)]
struct CellJson<'a> {
    role: Role,
    #[serde(flatten)]
    place: Place,
    /// Test accuracies in per cent, by seed.
    accuracies: Vec<f64>,
    /// The seeds that have one, in the order of `accuracies`.
    seeds: Vec<u64>,
    mean: Option<f64>,
    spread: Option<f64>,
    not_finite: usize,
    missing: usize,
    classes: usize,
    /// The paper's figure for this cell.
    paper: Option<f64>,
    /// What an attack or an analysis measured: means by metric.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metrics: BTreeMap<String, f64>,
    /// Hashes of the runs, by seed.
    runs: Vec<&'a str>,
}

pub(super) fn json(findings: &[Findings]) -> ReportJson<'_> {
    let experiments = findings.iter().map(|of| ExperimentJson {
        name: &of.record.name,
        scale: of.record.settings.scale.to_string(),
        title: &of.record.settings.title,
        command: &of.record.command,
        seeds: &of.record.settings.seeds,
        machines: machines_of(of),
        findings: super::finding::findings(of),
        cells: cells(of).into_iter().map(|(role, place)| cell(of, role, place)).collect(),
    });
    ReportJson { format: REPORT_FORMAT, experiments: experiments.collect() }
}

fn cells(of: &Findings) -> Vec<(Role, Place)> {
    let mut cells: Vec<(Role, Place)> = Vec::new();
    for entry in &of.record.entries {
        if !cells.iter().any(|(role, place)| *role == entry.role && *place == entry.place) {
            cells.push((entry.role, entry.place.clone()));
        }
    }
    cells
}

fn cell(of: &Findings, role: Role, place: Place) -> CellJson<'_> {
    let reference = reference(&of.record.settings, &place, place.get(AxisKind::Student).is_some());
    let paper = reference.and_then(|r| match (role, place.side()) {
        (Role::NormalTeacher | Role::Student(Source::Normal), _) => r.normal,
        (Role::NastyTeacher | Role::Student(Source::Nasty), _) => r.nasty,
        (Role::Student(Source::Alone), _) => r.alone,
        (Role::Part(PartKind::DataFree), Some(Side::Normal)) => r.normal,
        (Role::Part(PartKind::DataFree), Some(Side::Nasty)) => r.nasty,
        _ => None,
    });
    let accuracy: Measured = measure(of, role, &place, &ACCURACY);
    let mut metrics = BTreeMap::new();
    if let Role::Part(part) = role {
        // One task may answer for both teachers: each has its own metrics then.
        let sides = match place.side() {
            Some(_) => vec![(String::new(), place.clone())],
            None => Side::BOTH
                .map(|side| {
                    let of_side = place.clone().with(AxisKind::Side, Value::Side(side));
                    (format!("{}_", side.name()), of_side)
                })
                .into(),
        };
        for (metric, (side, place)) in
            parts::of(part).metrics.iter().flat_map(|m| sides.iter().map(move |s| (m, s)))
        {
            if let Some(mean) = measure(of, role, place, metric).mean() {
                metrics.insert(format!("{side}{}", metric.key), mean);
            }
        }
    }
    // What trains no network has no accuracy to be missing.
    let missing = match of.outcomes.get(accuracy.tasks.first().copied().unwrap_or_default()) {
        Some(Outcome::Part(_)) => 0,
        _ => accuracy.missing,
    };
    CellJson {
        role,
        accuracies: accuracy.values.values().copied().collect(),
        seeds: accuracy.values.keys().copied().collect(),
        mean: accuracy.mean(),
        spread: accuracy.spread(),
        not_finite: accuracy.not_finite,
        missing,
        classes: accuracy.classes,
        paper,
        metrics,
        runs: accuracy.tasks,
        place,
    }
}
