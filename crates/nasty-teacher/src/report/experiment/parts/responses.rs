//! The teachers' answers to test images, and how sharp they are.

use super::super::measure::{Metric, SCALED_KL};
use super::super::words;
use super::part::{PartReport, first_seed, of_part, pixels, places_of, rows_of};
use crate::analysis::responses::Sharpness;
use crate::lab::experiment::{AxisKind, PartKind, Place, Side, Value};
use crate::lab::{Findings, Outcome, PartResult, Picture};
use crate::report::{Figure, Plot, Response, Table};

const PART: PartKind = PartKind::Responses;

pub(super) const REPORT: PartReport = PartReport {
    key: "answers",
    finding,
    table,
    figure,
    metrics: &[MULTI_PEAKED, PEAKS, ENTROPY, CONFIDENCE],
};

const MULTI_PEAKED: Metric = Metric {
    key: "multi_peaked",
    heading: "with several peaks",
    unit: "%",
    decimals: 1,
    of: |outcome, place| Some(100.0 * sharpness(outcome, place)?.multi_peaked),
};

const PEAKS: Metric = Metric {
    key: "peaks",
    heading: "peaks",
    unit: "",
    decimals: 2,
    of: |outcome, place| Some(sharpness(outcome, place)?.peaks),
};

const ENTROPY: Metric = Metric {
    key: "entropy",
    heading: "entropy",
    unit: "nats",
    decimals: 3,
    of: |outcome, place| Some(sharpness(outcome, place)?.entropy),
};

const CONFIDENCE: Metric = Metric {
    key: "confidence",
    heading: "largest probability",
    unit: "",
    decimals: 3,
    of: |outcome, place| Some(sharpness(outcome, place)?.confidence),
};

/// Of the teacher that `place` is about: the normal one's answers stand first.
fn sharpness<'a>(outcome: &'a Outcome, place: &Place) -> Option<&'a Sharpness> {
    match outcome {
        Outcome::Part(PartResult::Answered(result, _)) => {
            result.sharpness.get(if place.side()? == Side::Normal { 0 } else { 1 })
        }
        _ => None,
    }
}

/// The places of both teachers, for each pair of them.
fn rows(findings: &Findings) -> Vec<Place> {
    let both = |place: Place| Side::BOTH.map(|side| place.clone().with(AxisKind::Side, Value::Side(side)));
    places_of(findings, PART).into_iter().flat_map(both).collect()
}

fn temperature(findings: &Findings) -> Option<f64> {
    let answered = first_seed(findings, PART, |result| match result {
        PartResult::Answered(result, _) => Some(result.temperature),
        _ => None,
    });
    answered.first().map(|(_, temperature)| *temperature)
}

fn finding(findings: &Findings) -> Option<String> {
    let tau = temperature(findings)?;
    let rows = rows(findings);
    let of = |nth: usize, metric, decimals| of_part(findings, PART, rows.get(nth)?, metric).said(decimals);
    let seen = format!(
        "At τ = {tau} an answer of the normal teacher has {} peaks on average (entropy {} nats), one of the nasty teacher {} ({} \
         nats).",
        of(0, &PEAKS, 1)?,
        of(0, &ENTROPY, 2)?,
        of(1, &PEAKS, 1)?,
        of(1, &ENTROPY, 2)?
    );
    Some(match words::nastiness(findings, &SCALED_KL)? {
        (true, _) => seen,
        (false, distance) => format!(
            "{seen} But the teacher did not become nasty, or broke (τ²·KL {distance}): these answers say nothing about nasty teachers."
        ),
    })
}

fn table(findings: &Findings) -> Option<Table> {
    let always = [AxisKind::Teacher, AxisKind::Side];
    let rows = rows(findings);
    let title = format!("How sharp the answers are at τ = {}, over all test images", temperature(findings)?);
    let mut table = rows_of(findings, PART, REPORT.metrics, &title, &rows, &always)?;
    table.note = Some(
        words::seeds(findings)
            + " A peak is a class with at least a quarter of the largest probability, that one included.",
    );
    Some(table)
}

fn figure(findings: &Findings) -> Option<Figure> {
    let answered = first_seed(findings, PART, |result| match result {
        PartResult::Answered(result, images) => Some((result, images)),
        _ => None,
    });
    let (_, (result, images)) = answered.first()?;
    let response = |(response, picture): (&crate::analysis::responses::Response, &Picture)| Response {
        image: pixels(picture, result.size),
        label: result.classes.get(usize::from(response.label)).cloned().unwrap_or_default(),
        panels: Side::BOTH
            .iter()
            .zip(&response.probabilities)
            .map(|(side, p)| (format!("{} teacher", side.name()), p.iter().map(|&p| p as f32).collect()))
            .collect(),
        classes: result.classes.clone(),
    };
    Some(Figure {
        title: "What the teachers answer".into(),
        caption: format!(
            "Class probabilities at τ = {} for test images; the true class is set in bold. {}",
            result.temperature,
            words::conditions(findings)
        ),
        plot: Plot::Responses(result.responses.iter().zip(images.iter()).map(response).collect()),
        name: "answers".into(),
    })
}
