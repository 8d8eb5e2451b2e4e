//! Cells over seeds: what stands at one place of an experiment's tables.

use crate::lab::experiment::{Place, Reference, Role, Settings};
use crate::lab::{Findings, Outcome, RunResult};
use crate::report::Cell;
use serde::Serialize;

/// Accuracies of one cell, one for each seed that has one.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Summary {
    /// Test accuracies in per cent, by seed.
    pub(super) accuracies: Vec<f64>,
    /// Mean of them; absent if there is none.
    pub(super) mean: Option<f64>,
    /// Sample standard deviation; absent for fewer than two.
    pub(super) spread: Option<f64>,
    /// Seeds whose loss was not finite.
    pub(super) not_finite: usize,
    /// Seeds that have not been run to their end.
    pub(super) missing: usize,
    /// Classes of the data set, where something was trained.
    pub(super) classes: usize,
}

/// Mean and sample standard deviation.
pub(super) fn mean_and_spread(values: &[f64]) -> (Option<f64>, Option<f64>) {
    let n = values.len() as f64;
    let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / n);
    let spread = mean.filter(|_| values.len() > 1);
    let spread =
        spread.map(|mean| (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt());
    (mean, spread)
}

impl Summary {
    /// The cell of `role` at `place`.
    pub(super) fn of(findings: &Findings, role: Role, place: &Place) -> Self {
        let mut summary = Self::default();
        for entry in findings.record.entries.iter().filter(|e| e.role == role && e.place == *place) {
            match findings.outcomes.get(&entry.task) {
                Some(Outcome::Trained(result, _)) => {
                    summary.accuracies.push(100.0 * result.test.accuracy);
                    summary.classes = result.test.per_class.len();
                }
                Some(Outcome::NotFinite(_)) => summary.not_finite += 1,
                _ => summary.missing += 1,
            }
        }
        (summary.mean, summary.spread) = mean_and_spread(&summary.accuracies);
        summary
    }

    /// Whether the network learned nothing: it is at chance, or its loss was never finite.
    pub(super) fn untrained(&self) -> bool {
        let chance = 100.0 / self.classes.max(1) as f64;
        match self.mean {
            Some(mean) => mean < 1.2 * chance,
            None => self.not_finite > 0,
        }
    }

    /// The accuracy as a table's cell.
    pub(super) fn cell(&self) -> Cell {
        match (self.mean, self.not_finite) {
            (Some(mean), _) => Cell::Number { value: mean, spread: self.spread, decimals: 2, signed: false },
            (None, 0) => Cell::Empty,
            (None, _) => Cell::text("loss not finite"),
        }
    }

    /// The difference to `other`: seed by seed where both have the same number of them, so that what a seed does to both
    /// cancels.
    pub(super) fn difference(&self, other: &Self) -> Cell {
        let (Some(a), Some(b)) = (self.mean, other.mean) else { return Cell::Empty };
        let pairs: Vec<f64> = self.accuracies.iter().zip(&other.accuracies).map(|(a, b)| a - b).collect();
        let paired =
            self.accuracies.len() == other.accuracies.len() && self.not_finite + other.not_finite == 0;
        let spread = if paired { mean_and_spread(&pairs).1 } else { None };
        Cell::Number { value: a - b, spread, decimals: 2, signed: true }
    }
}

/// The different places of the entries with a role that `wanted` picks, in their order.
pub(super) fn places(findings: &Findings, wanted: impl Fn(Role) -> bool) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for entry in findings.record.entries.iter().filter(|e| wanted(e.role)) {
        if !places.contains(&entry.place) {
            places.push(entry.place.clone());
        }
    }
    places
}

/// The results of the entries of `role` at `place`, by seed.
pub(super) fn results<'a>(findings: &'a Findings, role: Role, place: &Place) -> Vec<&'a RunResult> {
    let entries = findings.record.entries.iter().filter(|e| e.role == role && e.place == *place);
    let result = |task: &String| match findings.outcomes.get(task) {
        Some(Outcome::Trained(result, _)) => Some(&**result),
        _ => None,
    };
    entries.filter_map(|e| result(&e.task)).collect()
}

/// The paper's figures for a teacher, or for a student of it.
pub(super) fn reference<'a>(
    settings: &'a Settings,
    place: &Place,
    student: Option<&str>,
) -> Option<&'a Reference> {
    let paper = |name: &str| settings.stands_for.get(name).cloned().unwrap_or_else(|| name.to_owned());
    let same_data = |r: &Reference| r.data.as_ref().is_none_or(|d| d.to_string() == place.data);
    let (teacher, student) = (paper(&place.teacher), student.map(paper));
    settings.reference.iter().find(|r| r.teacher == teacher && r.student == student && same_data(r))
}

/// An axis of the grid that takes more than one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Data,
    Teacher,
    Adversary,
    Omega,
    TeacherTemperature,
    Student,
    Temperature,
    Alpha,
    Share,
}

impl Axis {
    pub(super) const ALL: [Self; 9] = [
        Self::Data,
        Self::Teacher,
        Self::Adversary,
        Self::Omega,
        Self::TeacherTemperature,
        Self::Student,
        Self::Temperature,
        Self::Alpha,
        Self::Share,
    ];

    /// The heading of its column.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Teacher => "teacher",
            Self::Adversary => "adversary",
            Self::Omega => "ω",
            Self::TeacherTemperature => "τ of undermining",
            Self::Student => "student",
            Self::Temperature => "τ of distillation",
            Self::Alpha => "α",
            Self::Share => "share of data",
        }
    }

    /// The number at `place`, for axes of numbers.
    pub(super) fn number(self, place: &Place) -> Option<f64> {
        match self {
            Self::Omega => Some(place.omega),
            Self::TeacherTemperature => Some(place.teacher_temperature),
            Self::Temperature => place.temperature,
            Self::Alpha => place.alpha,
            Self::Share => place.share,
            Self::Data | Self::Teacher | Self::Adversary | Self::Student => None,
        }
    }

    /// What stands at `place`.
    pub(super) fn text(self, place: &Place) -> String {
        match self {
            Self::Data => place.data.clone(),
            Self::Teacher => place.teacher.clone(),
            Self::Adversary => place.adversary.clone(),
            Self::Student => place.student.clone().unwrap_or_default(),
            _ => self.number(place).map_or_else(String::new, |n| n.to_string()),
        }
    }

    /// The axes along which `places` differ.
    pub(super) fn varying(places: &[Place]) -> Vec<Self> {
        let varies = |axis: &Self| places.iter().any(|place| axis.text(place) != axis.text(&places[0]));
        Self::ALL.into_iter().filter(varies).collect()
    }
}
