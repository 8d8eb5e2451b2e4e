//! The grid of an experiment while it is filled: recipes with the experiment's changes, and each task once.

use super::axes::{AxisKind, Place, Side, Value as AxisValue};
use super::cells::{Entry, Resolved, Role};
use super::error::ExperimentError;
use super::settings::{Changes, Other, Settings};
use crate::attacks::TestData;
use crate::data::{DataName, Framing};
use crate::lab::data_facts::DataFacts;
use crate::lab::defaults::{self, Kind};
use crate::lab::overrides::{OverrideError, change};
use crate::lab::task::Task;
use crate::nets::Architecture;
use crate::training::{NetworkRef, Recipe};
use miette::Diagnostic;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;

/// The grid so far.
pub(super) struct Grid<'a> {
    /// The experiment's name.
    name: &'a str,
    pub(super) settings: &'a Settings,
    pub(super) resolved: Resolved,
    known: HashMap<String, usize>,
}

/// What a teacher's place in the grid fixes for those who learn from it.
pub(super) struct Teachers<'a> {
    pub(super) data: &'a DataName,
    pub(super) facts: &'a DataFacts,
    pub(super) side: Option<Framing>,
    pub(super) seed: u64,
    pub(super) architecture: Architecture,
    pub(super) normal: NetworkRef,
    pub(super) nasty: NetworkRef,
    /// τ that the grid gives to the undermining; students distil at it too, unless they have their own.
    pub(super) temperature: Option<f64>,
    pub(super) place: Place,
    /// What tells the nasty teacher from others of the grid, in the names of its students.
    pub(super) mark: String,
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

impl<'a> Grid<'a> {
    /// An empty grid of the experiment `name`.
    pub(super) fn new(name: &'a str, settings: &'a Settings) -> Self {
        Self { name, settings, resolved: Resolved::default(), known: HashMap::new() }
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
    pub(super) fn recipe(
        &self,
        data: &DataName,
        facts: &DataFacts,
        seed: u64,
        architecture: Architecture,
        kind: Kind,
        tables: &[&str],
    ) -> Result<Recipe, ExperimentError> {
        let settings = self.settings;
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
        let (origin, place) = (self.name.to_owned(), table.to_owned());
        ExperimentError::Recipe { origin, place, source: Box::new(source), help }
    }

    /// The error of an experiment that cannot run.
    pub(super) fn impossible(&self, problem: String) -> ExperimentError {
        ExperimentError::Impossible { origin: self.name.to_owned(), problem }
    }

    pub(super) fn check(&self, recipe: &Recipe, table: &str) -> Result<(), ExperimentError> {
        recipe.problem().map_or(Ok(()), |problem| Err(self.wrong(table, OverrideError::Impossible(problem))))
    }

    /// Adds a task, unless it is there; its network by name.
    pub(super) fn task(&mut self, name: String, task: Task) -> NetworkRef {
        let hash = task.hash();
        if !self.known.contains_key(&hash) {
            self.known.insert(hash.clone(), self.resolved.tasks.len());
            let several = self.settings.seeds.len() > 1;
            let data = if self.settings.data.len() > 1 { format!("{} ", task.data()) } else { String::new() };
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
