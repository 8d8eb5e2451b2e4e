//! Expands an experiment's settings to its grid: every network and every attack with its place in the tables.

use super::axes::{AxisKind, Place, Value as AxisValue};
use super::cells::{Entry, Resolved, Role, Side};
use super::file::{Experiment, ExperimentError};
use super::settings::{Changes, Other, Source, StudentSettings, TeacherSettings};
use crate::attacks::TestData;
use crate::data::{DataError, DataName, Framing};
use crate::lab::data_facts::DataFacts;
use crate::lab::defaults::{self, Kind};
use crate::lab::overrides::{OverrideError, change};
use crate::lab::task::Task;
use crate::nets::Architecture;
use crate::training::{CrossEntropy, Distillation, NetworkRef, Objective, Recipe, SelfUndermining};
use miette::Diagnostic;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;

impl Experiment {
    /// The grid, given what `facts` says of each data set with its images resized to a side.
    ///
    /// # Errors
    /// [`ExperimentError`] for a recipe that cannot be, or a data set that cannot be read.
    pub fn resolve(&self, facts: &mut AskFacts<'_>) -> Result<Resolved, ResolveError> {
        let mut grid = Grid { experiment: self, resolved: Resolved::default(), known: HashMap::new() };
        for data in &self.settings.data {
            let facts = facts(data, self.settings.side())?;
            for &seed in &self.settings.seeds {
                grid.teachers(data, &facts, seed)?;
            }
            grid.resolved.data.insert(data.to_string(), facts);
        }
        Ok(grid.resolved)
    }
}

/// Says what is known of a data set, its images resized to a side.
pub type AskFacts<'a> = dyn FnMut(&DataName, Option<Framing>) -> Result<DataFacts, DataError> + 'a;

/// Why an experiment has no plan.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ResolveError {
    /// Its file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Experiment(#[from] ExperimentError),
    /// Its data.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
}

impl crate::Classified for ResolveError {
    fn class(&self) -> crate::ErrorClass {
        match self {
            Self::Experiment(error) => crate::Classified::class(error),
            Self::Data(error) => crate::Classified::class(error),
        }
    }
}

/// The grid so far.
pub(super) struct Grid<'a> {
    experiment: &'a Experiment,
    resolved: Resolved,
    known: HashMap<String, usize>,
}

/// What a teacher's place in the grid fixes for those who learn from it.
pub(super) struct Teachers<'a> {
    data: &'a DataName,
    pub(super) facts: &'a DataFacts,
    side: Option<Framing>,
    pub(super) seed: u64,
    pub(super) architecture: Architecture,
    pub(super) normal: NetworkRef,
    pub(super) nasty: NetworkRef,
    /// τ that the grid gives to the undermining; students distil at it too, unless they have their own.
    temperature: Option<f64>,
    pub(super) place: Place,
    /// What tells the nasty teacher from others of the grid, in the names of its students.
    mark: String,
}

impl Teachers<'_> {
    /// The architectures that `others` name, each once.
    pub(super) fn others(&self, others: &[Other]) -> Vec<Architecture> {
        let mut architectures: Vec<Architecture> = Vec::new();
        for other in others {
            let architecture =
                if let Other::Named(architecture) = *other { architecture } else { self.architecture };
            if !architectures.contains(&architecture) {
                architectures.push(architecture);
            }
        }
        architectures
    }

    /// The teacher of that side.
    pub(super) fn network(&self, side: Side) -> &NetworkRef {
        match side {
            Side::Normal => &self.normal,
            Side::Nasty => &self.nasty,
        }
    }

    /// The place of what is done to the teacher of that side.
    pub(super) fn of_side(&self, side: Side) -> Place {
        self.place.clone().with(AxisKind::Side, AxisValue::Side(side))
    }

    /// The data set, for tasks that only look at its test images.
    pub(super) fn test_data(&self) -> TestData {
        TestData { name: self.data.clone(), digest: self.facts.digest.clone(), side: self.side }
    }
}

/// What tells the nasty teacher at `place` from the others that `settings` ask for.
fn mark(settings: &TeacherSettings, place: &Place) -> String {
    let several = [
        (settings.omega.len(), AxisKind::Omega, "ω="),
        (settings.temperature.len(), AxisKind::TeacherTemperature, "made at τ="),
        (settings.adversary.len(), AxisKind::Adversary, "against "),
    ];
    let mut mark = String::new();
    for (values, axis, word) in several {
        if let Some(value) = place.get(axis).filter(|_| values > 1) {
            mark += &format!(" {word}{}", value.text());
        }
    }
    mark
}

/// `values`, or once nothing if there are none.
fn axis<T: Copy>(values: &[T]) -> Vec<Option<T>> {
    if values.is_empty() { vec![None] } else { values.iter().copied().map(Some).collect() }
}

impl Grid<'_> {
    fn teachers(&mut self, data: &DataName, facts: &DataFacts, seed: u64) -> Result<(), ExperimentError> {
        let experiment = self.experiment;
        let settings: &TeacherSettings = &experiment.settings.teacher;
        for &architecture in &settings.architecture {
            let normal = self.recipe(data, facts, seed, architecture, Kind::Train, &["teacher.recipe"])?;
            let name = format!("normal teacher {architecture}");
            let normal = self.task(name, Task::Train(normal));
            for &adversary in &settings.adversary {
                let against = match adversary {
                    Other::Named(other) if other != architecture => {
                        let recipe =
                            self.recipe(data, facts, seed, other, Kind::Train, &["teacher.recipe"])?;
                        Some((self.task(format!("adversary {other}"), Task::Train(recipe)), true))
                    }
                    Other::Same | Other::Named(_) => Some((normal.clone(), false)),
                    Other::None => None,
                };
                for omega in axis(&settings.omega) {
                    for temperature in axis(&settings.temperature) {
                        let mut place = Place::default()
                            .word(AxisKind::Data, data)
                            .word(AxisKind::Teacher, architecture)
                            .word(AxisKind::Adversary, String::from(adversary));
                        // A normal teacher stands at one place for all nasty ones.
                        let alone = place.clone().without(&[AxisKind::Adversary]);
                        self.entry(Role::NormalTeacher, seed, &alone, &normal);
                        let nasty = match &against {
                            None => normal.clone(),
                            Some((against, _)) => {
                                let kind = Kind::Undermine(against.clone());
                                let tables = ["teacher.recipe", "teacher.nasty_recipe"];
                                let mut recipe =
                                    self.recipe(data, facts, seed, architecture, kind, &tables)?;
                                if let Objective::SelfUndermining(SelfUndermining {
                                    omega: o,
                                    temperature: t,
                                    ..
                                }) = &mut recipe.objective
                                {
                                    *o = omega.unwrap_or(*o);
                                    *t = temperature.unwrap_or(*t);
                                    place = place
                                        .number(AxisKind::Omega, Some(*o))
                                        .number(AxisKind::TeacherTemperature, Some(*t));
                                }
                                let mut name = format!(
                                    "nasty teacher {architecture} ω={} τ={}",
                                    place.text(AxisKind::Omega),
                                    place.text(AxisKind::TeacherTemperature)
                                );
                                if adversary != Other::Same {
                                    name += &format!(" against {}", place.text(AxisKind::Adversary));
                                }
                                self.check(&recipe, "teacher")?;
                                self.task(name, Task::Train(recipe))
                            }
                        };
                        if let (Some((against, true)), true) =
                            (&against, experiment.settings.teacher.adversary.len() > 1)
                        {
                            let against = against.clone();
                            self.entry(Role::Adversary, seed, &place, &against);
                        }
                        self.entry(Role::NastyTeacher, seed, &place, &nasty);
                        let teachers = Teachers {
                            mark: mark(settings, &place),
                            data,
                            facts,
                            side: experiment.settings.side(),
                            seed,
                            architecture,
                            normal: normal.clone(),
                            nasty,
                            temperature,
                            place,
                        };
                        if let Some(students) = &experiment.settings.student {
                            self.students(students, &teachers)?;
                        }
                        for (part, table) in &experiment.settings.parts {
                            part.expand(table, self, &teachers)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn students(&mut self, settings: &StudentSettings, of: &Teachers) -> Result<(), ExperimentError> {
        for architecture in of.others(&settings.architecture) {
            for temperature in axis(&settings.temperature) {
                for alpha in axis(&settings.alpha) {
                    for share in axis(&settings.share) {
                        for &source in &settings.from {
                            self.student(settings, of, architecture, (temperature, alpha, share), source)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn student(
        &mut self,
        settings: &StudentSettings,
        of: &Teachers,
        architecture: Architecture,
        (temperature, alpha, share): (Option<f64>, Option<f64>, Option<f64>),
        source: Source,
    ) -> Result<(), ExperimentError> {
        let kind = match source {
            Source::Alone | Source::Smoothing => Kind::Train,
            Source::Normal | Source::NormalAsServed => Kind::Distill(of.normal.clone()),
            Source::Nasty | Source::NastyAsServed => Kind::Distill(of.nasty.clone()),
            Source::HardLabels => Kind::HardLabel(of.nasty.clone()),
        };
        let mut recipe = self.recipe(of.data, of.facts, of.seed, architecture, kind, &["student.recipe"])?;
        // The place names τ and α of the grid for those students too that have none, so that rows are whole.
        let place = of
            .place
            .clone()
            .word(AxisKind::Student, architecture)
            .number(AxisKind::Temperature, temperature)
            .number(AxisKind::Alpha, alpha)
            .number(AxisKind::Share, share);
        match &mut recipe.objective {
            Objective::Distillation(Distillation { temperature: t, alpha: a, .. })
                if matches!(source, Source::NormalAsServed | Source::NastyAsServed) =>
            {
                (*t, *a) = (1.0, 1.0);
            }
            Objective::Distillation(Distillation { temperature: t, alpha: a, .. }) => {
                *t = temperature.or(of.temperature).unwrap_or(*t);
                *a = alpha.unwrap_or(*a);
            }
            Objective::CrossEntropy(CrossEntropy { label_smoothing }) if source == Source::Smoothing => {
                *label_smoothing = settings.label_smoothing;
            }
            _ => {}
        }
        if let Some(share) = share {
            let left = of.facts.train.saturating_sub(recipe.data.validation);
            let of_all = recipe.data.subset.unwrap_or(left);
            recipe.data.subset = Some((share * of_all as f64).round() as usize).filter(|&n| n < left);
        }
        self.check(&recipe, "student")?;
        let mut name = match source {
            Source::Alone => format!("{architecture} alone"),
            Source::Normal => format!("{architecture} from normal {}", of.architecture),
            Source::Nasty => format!("{architecture} from nasty {}{}", of.architecture, of.mark),
            Source::NormalAsServed => format!("{architecture} from normal {} τ=1 no labels", of.architecture),
            Source::NastyAsServed => {
                format!("{architecture} from nasty {}{} τ=1 no labels", of.architecture, of.mark)
            }
            Source::HardLabels => {
                format!("{architecture} from nasty {}{} hard labels", of.architecture, of.mark)
            }
            Source::Smoothing => format!("{architecture} label smoothing"),
        };
        if matches!(source, Source::Normal | Source::Nasty) {
            for (symbol, value) in [("τ", temperature), ("α", alpha)] {
                name += &value.map_or_else(String::new, |v| format!(" {symbol}={v}"));
            }
        }
        name += &share.map_or_else(String::new, |s| format!(" {:.0} % of the data", 100.0 * s));
        let task = self.task(name, Task::Train(recipe));
        self.entry(Role::Student(source), of.seed, &place, &task);
        Ok(())
    }

    /// `recipe` with `changes` from `table`, checked.
    pub(super) fn changed<T: Serialize + DeserializeOwned>(
        &self,
        recipe: T,
        changes: &Changes,
        table: &str,
        problem: impl Fn(&T) -> Option<String>,
    ) -> Result<T, ExperimentError> {
        let mut recipe = recipe;
        for (key, value) in leaves(changes) {
            recipe = change(recipe, &key, value).map_err(|source| self.wrong(table, source))?;
        }
        match problem(&recipe) {
            Some(problem) => Err(self.wrong(table, OverrideError::Impossible(problem))),
            None => Ok(recipe),
        }
    }

    /// The published recipe with the experiment's changes: those for all, then those in `tables`.
    fn recipe(
        &self,
        data: &DataName,
        facts: &DataFacts,
        seed: u64,
        architecture: Architecture,
        kind: Kind,
        tables: &[&str],
    ) -> Result<Recipe, ExperimentError> {
        let settings = &self.experiment.settings;
        let mut recipe = defaults::recipe(data.clone(), facts.digest.clone(), architecture, kind);
        recipe.data.validation = defaults::held_out(data, facts.train, facts.classes);
        recipe.seed = seed;
        for &table in ["recipe"].iter().chain(tables) {
            let changes = match table {
                "recipe" => &settings.recipe,
                "teacher.recipe" => &settings.teacher.recipe,
                "teacher.nasty_recipe" => &settings.teacher.nasty_recipe,
                _ => settings.student.as_ref().map_or(&settings.recipe, |s| &s.recipe),
            };
            for (key, value) in leaves(changes) {
                recipe = change(recipe, &key, value).map_err(|source| self.wrong(table, source))?;
            }
        }
        Ok(recipe)
    }

    fn wrong(&self, table: &str, source: OverrideError) -> ExperimentError {
        let help = source.help().map(|help| help.to_string());
        let (origin, place) = (self.experiment.name.clone(), table.to_owned());
        ExperimentError::Recipe { origin, place, source: Box::new(source), help }
    }

    /// The error of an experiment that cannot run.
    pub(super) fn impossible(&self, problem: String) -> ExperimentError {
        ExperimentError::Impossible { origin: self.experiment.name.clone(), problem }
    }

    fn check(&self, recipe: &Recipe, table: &str) -> Result<(), ExperimentError> {
        recipe.problem().map_or(Ok(()), |problem| Err(self.wrong(table, OverrideError::Impossible(problem))))
    }

    /// Adds a task, unless it is there; its network by name.
    pub(super) fn task(&mut self, name: String, task: Task) -> NetworkRef {
        let hash = task.hash();
        if !self.known.contains_key(&hash) {
            self.known.insert(hash.clone(), self.resolved.tasks.len());
            let several = self.experiment.settings.seeds.len() > 1;
            let data = if self.experiment.settings.data.len() > 1 {
                format!("{} ", task.data())
            } else {
                String::new()
            };
            let seed = if several { format!(" #{}", task.seed()) } else { String::new() };
            self.resolved.tasks.push((format!("{data}{name}{seed}"), task));
        }
        NetworkRef(hash)
    }

    /// Adds a cell, unless it is there.
    pub(super) fn entry(&mut self, role: Role, seed: u64, place: &Place, task: &NetworkRef) {
        let entry = Entry { role, seed, place: place.clone(), task: task.0.clone() };
        if !self.resolved.entries.contains(&entry) {
            self.resolved.entries.push(entry);
        }
    }
}

/// Dotted paths and values of nested changes. A kind comes before the keys that only it has; `none` is nothing.
fn leaves(changes: &Changes) -> Vec<(String, Value)> {
    fn walk(changes: &Changes, prefix: &str, out: &mut Vec<(String, Value)>) {
        for (name, value) in changes {
            let key = format!("{prefix}{name}");
            match value {
                Value::Object(inner) => walk(inner, &format!("{key}."), out),
                Value::String(word) if word == "none" => out.push((key, Value::Null)),
                value => out.push((key, value.clone())),
            }
        }
    }
    let mut out = Vec::new();
    walk(changes, "", &mut out);
    out.sort_by_key(|(key, _)| !key.ends_with(".kind"));
    out
}

#[cfg(test)]
mod tests;
