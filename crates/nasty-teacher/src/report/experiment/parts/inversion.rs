//! Images extracted from the teachers, and how networks classify them.

use super::super::measure::Metric;
use super::super::words;
use super::part::{PartReport, first_seed, of_part, pixels, places_of, rows_of};
use crate::attacks::inversion::Recognised;
use crate::lab::experiment::{AxisKind, PartKind, Place};
use crate::lab::{Findings, InversionResult, Outcome, PartResult, Picture};
use crate::report::{Figure, ImageGrid, ImagePanel, Plot, Table};

const PART: PartKind = PartKind::Inversion;

pub(super) const REPORT: PartReport = PartReport {
    key: "inversion",
    finding,
    table,
    figure,
    metrics: &[BY_ITSELF, BY_THE_OTHER, STATISTICS, TOTAL_VARIATION],
};

const BY_ITSELF: Metric = Metric {
    key: "seen_by_itself",
    heading: "seen as wanted by itself",
    unit: "%",
    decimals: 1,
    of: |outcome, _| Some(share(&inverted(outcome)?.network)),
};

const BY_THE_OTHER: Metric = Metric {
    key: "seen_by_other",
    heading: "by the other teacher",
    unit: "%",
    decimals: 1,
    of: |outcome, _| inverted(outcome)?.judge.as_ref().map(share),
};

const STATISTICS: Metric = Metric {
    key: "statistics",
    heading: "distance of statistics",
    unit: "",
    decimals: 2,
    of: |outcome, _| inverted(outcome)?.rows.last().map(|row| row.statistics),
};

const TOTAL_VARIATION: Metric = Metric {
    key: "total_variation",
    heading: "total variation",
    unit: "",
    decimals: 1,
    of: |outcome, _| inverted(outcome)?.rows.last().map(|row| row.total_variation),
};

fn inverted(outcome: &Outcome) -> Option<&InversionResult> {
    match outcome {
        Outcome::Part(PartResult::Inverted(result, _)) => Some(result),
        _ => None,
    }
}

fn share(recognised: &Recognised) -> f64 {
    100.0 * recognised.as_wanted as f64 / recognised.total.max(1) as f64
}

fn finding(findings: &Findings) -> Option<String> {
    let said = |place: &Place| {
        let seen = |metric| of_part(findings, PART, place, metric).said(0);
        let other = seen(&BY_THE_OTHER).map_or_else(String::new, |s| format!(", the other teacher {s} %"));
        let itself = seen(&BY_ITSELF)?;
        Some(format!("The {} teacher recognises {itself} % of its images{other}", place.text(AxisKind::Side)))
    };
    let sentences: Vec<String> = places_of(findings, PART).iter().filter_map(said).collect();
    (!sentences.is_empty()).then(|| sentences.join("; ") + ".")
}

fn table(findings: &Findings) -> Option<Table> {
    let always = [AxisKind::Teacher, AxisKind::Side];
    let rows = places_of(findings, PART);
    let mut table =
        rows_of(findings, PART, REPORT.metrics, "What networks see in the images", &rows, &always)?;
    table.note = Some(words::seeds(findings));
    Some(table)
}

fn figure(findings: &Findings) -> Option<Figure> {
    let inverted = first_seed(findings, PART, |result| match result {
        PartResult::Inverted(result, images) => Some((&**result, images)),
        _ => None,
    });
    let columns = inverted.first()?.1.0.classes.len().min(10);
    let panel = |(place, (result, images)): &(&Place, (&InversionResult, &Vec<Picture>))| ImagePanel {
        title: format!("{} {}", place.text(AxisKind::Side), place.text(AxisKind::Teacher)),
        columns,
        images: images.iter().take(10 * columns).map(|picture| pixels(picture, result.size)).collect(),
    };
    Some(Figure {
        title: "Images pulled out of the teachers".into(),
        caption: format!(
            "Image by image the classes in their order, {columns} a row. {}",
            words::conditions(findings)
        ),
        plot: Plot::Images(ImageGrid { panels: inverted.iter().map(panel).collect() }),
        name: "images".into(),
    })
}
