//! The cells of an experiment's tables, and the task that fills each cell.

use super::axes::Place;
use super::part_kind::PartKind;
use super::settings::Source;
use crate::lab::data_facts::DataFacts;
use crate::lab::task::Task;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a task is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The normal teacher.
    NormalTeacher,
    /// The nasty teacher.
    NastyTeacher,
    /// The nasty teacher's adversarial network, where it is not the normal teacher.
    Adversary,
    /// A student, by what it learns from.
    Student(Source),
    /// An attack or an analysis.
    #[serde(untagged)]
    Part(PartKind),
}

/// One cell of an experiment: a task at its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is for.
    pub role: Role,
    /// The seed.
    pub seed: u64,
    /// Where it stands.
    pub place: Place,
    /// The task's hash.
    pub task: String,
}

/// An experiment's cells and the tasks that fill them, each task once and after those it needs.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// The cells.
    pub entries: Vec<Entry>,
    /// The tasks, with a name for people.
    pub tasks: Vec<(String, Task)>,
    /// The data sets by name, as they are used.
    pub data: BTreeMap<String, DataFacts>,
}
