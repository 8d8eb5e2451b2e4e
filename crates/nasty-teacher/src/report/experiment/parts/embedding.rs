//! t-SNE maps of features and logits, and how well classes form clusters in them.

use super::super::measure::{Metric, SCALED_KL};
use super::super::words;
use super::part::{PartReport, first_seed, of_part, places_of, rows_of};
use crate::analysis::clusters::Clustering;
use crate::analysis::tsne::Layer;
use crate::lab::experiment::{AxisKind, PartKind, Place, Side, Value};
use crate::lab::{EmbeddingResult, Findings, Outcome, PartResult};
use crate::report::{Figure, Plot, ScatterPanel, ScatterPlot, Table};

const PART: PartKind = PartKind::Embedding;

pub(super) const REPORT: PartReport =
    PartReport { key: "clusters", finding, table, figure, metrics: &[NEIGHBOURS, SILHOUETTE] };

const NEIGHBOURS: Metric = Metric {
    key: "neighbour_accuracy",
    heading: "class of ten neighbours",
    unit: "%",
    decimals: 1,
    of: |outcome, _| Some(100.0 * original(outcome)?.neighbour_accuracy),
};

const SILHOUETTE: Metric = Metric {
    key: "silhouette",
    heading: "silhouette",
    unit: "",
    decimals: 3,
    of: |outcome, _| Some(original(outcome)?.silhouette),
};

fn original(outcome: &Outcome) -> Option<&Clustering> {
    match outcome {
        Outcome::Part(PartResult::Mapped(result)) => Some(&result.map.original),
        _ => None,
    }
}

fn finding(findings: &Findings) -> Option<String> {
    let place = places_of(findings, PART).first()?.clone().without(&[AxisKind::Side, AxisKind::Layer]);
    let at = |side: Side, layer: Layer| {
        let place: Place =
            place.clone().with(AxisKind::Side, Value::Side(side)).with(AxisKind::Layer, Value::Layer(layer));
        of_part(findings, PART, &place, &SILHOUETTE).said(3)
    };
    let change = |layer, name: &str| {
        Some(format!("of {name} from {} to {}", at(Side::Normal, layer)?, at(Side::Nasty, layer)?))
    };
    let (features, logits) = (change(Layer::Features, "features")?, change(Layer::Logits, "logits")?);
    let seen = format!(
        "From the normal to the nasty teacher the silhouette of classes goes, {features}, {logits} (1: tight clusters far \
         apart; 0: mixed)."
    );
    Some(match words::nastiness(findings, &SCALED_KL)? {
        (true, distance) => format!("{seen} The teacher became nasty (τ²·KL {distance})."),
        (false, distance) => format!(
            "{seen} But the teacher did not become nasty, or broke (τ²·KL {distance}): these maps say nothing about nasty teachers."
        ),
    })
}

fn table(findings: &Findings) -> Option<Table> {
    let always = [AxisKind::Teacher, AxisKind::Side, AxisKind::Layer];
    let rows = places_of(findings, PART);
    let mut table = rows_of(findings, PART, REPORT.metrics, "How far classes are clusters", &rows, &always)?;
    table.note = Some(
        words::seeds(findings)
            + " In the network's own space, not on the map: the share of test images whose class is the commonest among \
               their ten nearest; mean silhouette, 1 for tight clusters far apart, 0 for mixed ones.",
    );
    Some(table)
}

fn figure(findings: &Findings) -> Option<Figure> {
    let mut maps = first_seed(findings, PART, |result| match result {
        PartResult::Mapped(result) => Some(&**result),
        _ => None,
    });
    maps.sort_by_key(|(place, _)| (place.text(AxisKind::Layer), place.side() == Some(Side::Nasty)));
    let classes = maps.first()?.1.classes.clone();
    let images = maps.first()?.1.map.points.len();
    let panel = |(place, result): &(&Place, &EmbeddingResult)| ScatterPanel {
        title: format!(
            "{} {}, {}",
            place.text(AxisKind::Side),
            place.text(AxisKind::Teacher),
            place.text(AxisKind::Layer)
        ),
        points: result
            .map
            .points
            .iter()
            .zip(&result.map.labels)
            .map(|(p, &l)| (p[0], p[1], usize::from(l)))
            .collect(),
        ..ScatterPanel::default()
    };
    Some(Figure {
        title: "t-SNE of features and of logits".into(),
        caption: format!(
            "{images} test images, coloured by their true class. Distances between clusters mean nothing in such maps; \
             whether a class stays together does. {}",
            words::conditions(findings)
        ),
        plot: Plot::Scatter(ScatterPlot { classes, panels: maps.iter().map(panel).collect() }),
        name: "t-sne".into(),
    })
}
