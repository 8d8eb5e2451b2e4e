//! The measurements of runs, by cell and over seeds: the metrics, their means and differences.

use super::super::number::fixed;
use crate::lab::experiment::{AxisKind, Entry, Place, Reference, Role, Settings};
use crate::lab::{Findings, Outcome, RunResult};
use crate::report::{Cell, Column};
use std::collections::BTreeMap;

/// A quantity that a run gives. Each is listed once, beside the part of the report that it belongs to.
#[derive(Clone, Copy)]
pub(in crate::report) struct Metric {
    /// Its key in `report.json`.
    pub(in crate::report) key: &'static str,
    /// The heading of its column and the label of its plot axis.
    pub(in crate::report) heading: &'static str,
    /// Its unit; none if empty.
    pub(in crate::report) unit: &'static str,
    /// Decimal places.
    pub(in crate::report) decimals: usize,
    /// Its value in what came out for a place, if it has one.
    pub(in crate::report) of: fn(&Outcome, &Place) -> Option<f64>,
}

/// Accuracy on the test images.
pub(in crate::report) const ACCURACY: Metric = Metric {
    key: "accuracy",
    heading: "test accuracy",
    unit: "%",
    decimals: 2,
    of: |outcome, _| Some(100.0 * trained(outcome)?.test.accuracy),
};

/// τ²·KL of a nasty teacher's answers to its adversary's.
pub(in crate::report) const SCALED_KL: Metric = Metric {
    key: "scaled_kl",
    heading: "τ²·KL",
    unit: "",
    decimals: 1,
    of: |outcome, _| Some(trained(outcome)?.nastiness.as_ref()?.scaled_kl),
};

fn trained(outcome: &Outcome) -> Option<&RunResult> {
    match outcome {
        Outcome::Trained(result, _) => Some(result),
        _ => None,
    }
}

impl Metric {
    /// Its column.
    pub(in crate::report) fn column(&self) -> Column {
        Column::number(self.heading, self.unit)
    }
}

/// A metric at one cell, by seed.
#[derive(Clone, Debug, Default)]
pub(in crate::report) struct Measured<'a> {
    /// The value of each seed that has one.
    pub(in crate::report) values: BTreeMap<u64, f64>,
    /// Seeds whose loss was not finite.
    pub(in crate::report) not_finite: usize,
    /// Seeds that have not been run to their end.
    pub(in crate::report) missing: usize,
    /// Classes of the data set, where something was trained.
    pub(in crate::report) classes: usize,
    /// The runs, by seed.
    pub(in crate::report) tasks: Vec<&'a str>,
}

/// Mean and sample standard deviation, where there are values enough.
pub(in crate::report) fn mean_and_spread(values: impl Iterator<Item = f64>) -> (Option<f64>, Option<f64>) {
    let values: Vec<f64> = values.collect();
    let n = values.len() as f64;
    let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / n);
    let spread = mean.filter(|_| values.len() > 1);
    let spread =
        spread.map(|mean| (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt());
    (mean, spread)
}

/// The entries of `role` whose place agrees with `place`.
fn entries<'a>(
    findings: &'a Findings,
    role: Role,
    place: &'a Place,
) -> impl Iterator<Item = &'a Entry> + use<'a> {
    findings.record.entries.iter().filter(move |e| e.role == role && e.place.agrees(place))
}

/// `metric` of `role` at `place`.
pub(in crate::report) fn measure<'a>(
    findings: &'a Findings,
    role: Role,
    place: &Place,
    metric: &Metric,
) -> Measured<'a> {
    let mut measured = Measured::default();
    for entry in findings.record.entries.iter().filter(|e| e.role == role && e.place.agrees(place)) {
        if measured.tasks.contains(&entry.task.as_str()) {
            continue;
        }
        measured.tasks.push(&entry.task);
        let outcome = findings.outcomes.get(&entry.task).unwrap_or(&Outcome::Missing);
        match (outcome, (metric.of)(outcome, place)) {
            (_, Some(value)) => {
                measured.values.insert(entry.seed, value);
            }
            (Outcome::NotFinite(_), None) => measured.not_finite += 1,
            (_, None) => measured.missing += 1,
        }
        if let Some(result) = trained(outcome) {
            measured.classes = result.test.per_class.len();
        }
    }
    measured
}

impl Measured<'_> {
    /// Mean over seeds.
    pub(in crate::report) fn mean(&self) -> Option<f64> {
        mean_and_spread(self.values.values().copied()).0
    }

    /// Sample standard deviation over seeds; none for fewer than two.
    pub(in crate::report) fn spread(&self) -> Option<f64> {
        mean_and_spread(self.values.values().copied()).1
    }

    /// Whether, as an accuracy in per cent, it says that the network learned nothing: it is at chance, or its loss was never
    /// finite.
    pub(in crate::report) fn untrained(&self) -> bool {
        let chance = 100.0 / self.classes.max(1) as f64;
        match self.mean() {
            Some(mean) => mean < 1.2 * chance,
            None => self.not_finite > 0,
        }
    }

    /// As a table's cell.
    pub(in crate::report) fn cell(&self, metric: &Metric) -> Cell {
        match (self.mean(), self.not_finite) {
            (Some(value), _) => {
                Cell::Number { value, spread: self.spread(), decimals: metric.decimals, signed: false }
            }
            (None, 0) => Cell::Empty,
            (None, _) => Cell::text("loss not finite"),
        }
    }

    /// The difference to `other`, seed by seed, of the seeds that both have: what a seed does to both cancels.
    pub(in crate::report) fn minus(&self, other: &Self) -> Self {
        let pair = |(seed, value): (&u64, &f64)| Some((*seed, value - other.values.get(seed)?));
        Self { values: self.values.iter().filter_map(pair).collect(), ..Self::default() }
    }

    /// As a table's cell that shows its sign.
    pub(in crate::report) fn signed_cell(&self, decimals: usize) -> Cell {
        let cell = |value| Cell::Number { value, spread: self.spread(), decimals, signed: true };
        self.mean().map_or(Cell::Empty, cell)
    }

    /// As it stands in a sentence, with its sign: `−9.4 ± 2.6`.
    pub(in crate::report) fn signed(&self, decimals: usize) -> Option<String> {
        let mean = fixed(self.mean()?, decimals, true);
        Some(match self.spread() {
            Some(spread) => format!("{mean} ± {}", fixed(spread, decimals, false)),
            None => mean,
        })
    }

    /// As it stands in a sentence: `76.8 ± 0.3`.
    pub(in crate::report) fn said(&self, decimals: usize) -> Option<String> {
        let mean = fixed(self.mean()?, decimals, false);
        Some(match self.spread() {
            Some(spread) => format!("{mean} ± {}", fixed(spread, decimals, false)),
            None => mean,
        })
    }
}

/// The different places of the entries with a role that `wanted` picks, in their order.
pub(in crate::report) fn places(findings: &Findings, wanted: impl Fn(Role) -> bool) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for entry in findings.record.entries.iter().filter(|e| wanted(e.role)) {
        if !places.contains(&entry.place) {
            places.push(entry.place.clone());
        }
    }
    places
}

/// The results of the networks of `role` at `place`, by seed.
pub(in crate::report) fn results<'a>(
    findings: &'a Findings,
    role: Role,
    place: &'a Place,
) -> Vec<&'a RunResult> {
    entries(findings, role, place).filter_map(|e| trained(findings.outcomes.get(&e.task)?)).collect()
}

/// The paper's figures for the teacher at `place`, or for its student.
pub(in crate::report) fn reference<'a>(
    settings: &'a Settings,
    place: &Place,
    of_student: bool,
) -> Option<&'a Reference> {
    let paper = |name: String| settings.stands_for.get(&name).cloned().unwrap_or(name);
    let data = place.text(AxisKind::Data);
    let same_data = |r: &Reference| r.data.as_ref().is_none_or(|d| d.to_string() == data);
    let teacher = paper(place.text(AxisKind::Teacher));
    let student = of_student.then(|| paper(place.text(AxisKind::Student)));
    settings.reference.iter().find(|r| r.teacher == teacher && r.student == student && same_data(r))
}

/// The axes on which `rows` differ, and `always`, in the order of columns.
pub(in crate::report) fn axes(rows: &[Place], always: &[AxisKind]) -> Vec<AxisKind> {
    let varying = Place::varying(rows);
    AxisKind::ALL.into_iter().filter(|axis| varying.contains(axis) || always.contains(axis)).collect()
}

/// The column of an axis.
pub(in crate::report) fn axis_column(axis: AxisKind) -> Column {
    match axis.is_number() {
        true => Column::number(axis.spec().heading, ""),
        false => Column::text(axis.spec().heading),
    }
}

/// What stands at `place` on `axis`.
pub(in crate::report) fn axis_cell(axis: AxisKind, place: &Place) -> Cell {
    match (place.get_number(axis), place.get(axis)) {
        // As many places as a short number has: 0.025 has three.
        (Some(number), _) => {
            let text = number.to_string();
            Cell::number(number, text.split_once('.').map_or(0, |(_, places)| places.len().min(4)))
        }
        (None, Some(value)) => Cell::text(value.text()),
        (None, None) => Cell::Empty,
    }
}

/// `place` in words, by `axes`: `ω = 0.04, cnn4`.
pub(in crate::report) fn at(axes: &[AxisKind], place: &Place) -> String {
    let word = |axis: &AxisKind| {
        let text = place.get(*axis)?.text();
        Some(match axis {
            axis if axis.is_number() => format!("{} = {text}", axis.spec().symbol),
            AxisKind::Adversary => format!("adversary {text}"),
            _ => text,
        })
    };
    axes.iter().filter_map(word).collect::<Vec<_>>().join(", ")
}
