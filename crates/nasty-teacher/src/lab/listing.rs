//! The runs of a store with names: what they are, not only their hashes.

use super::plan::State;
use super::store::Store;
use super::store_error::StoreError;
use super::task::Task;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

/// A run as a person knows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedRun {
    /// Its hash.
    pub hash: String,
    /// What an experiment calls it.
    pub name: Option<String>,
    /// `done`, `running`, `stopped`, `failed`, `not finite` or `to do`.
    pub state: &'static str,
    /// The kind of its task.
    pub task: Option<String>,
    /// Its data set.
    pub data: Option<String>,
    /// The network that it makes.
    pub architecture: Option<String>,
    /// What that is trained for.
    pub objective: Option<String>,
    /// The networks that it needs, by the names or hashes of their runs.
    pub teacher: Vec<String>,
    /// Its seed.
    pub seed: Option<u64>,
    /// Share of the test images that it gets right.
    pub accuracy: Option<f64>,
}

impl NamedRun {
    /// The columns of a list, by their names; those that a filter may ask for.
    pub const COLUMNS: [&str; 10] =
        ["hash", "name", "state", "task", "data", "architecture", "objective", "teacher", "seed", "accuracy"];

    /// The column `name` as text; empty where nothing is known.
    pub fn column(&self, name: &str) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        match name {
            "hash" => self.hash.clone(),
            "name" => text(&self.name),
            "state" => self.state.to_owned(),
            "task" => text(&self.task),
            "data" => text(&self.data),
            "architecture" => text(&self.architecture),
            "objective" => text(&self.objective),
            "teacher" => self.teacher.join(", "),
            "seed" => self.seed.map(|seed| seed.to_string()).unwrap_or_default(),
            "accuracy" => self.accuracy.map(|share| format!("{:.2}", 100.0 * share)).unwrap_or_default(),
            _ => String::new(),
        }
    }
}

impl Store {
    /// The runs that were planned, begun or finished here, with what they are.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the store cannot be read.
    pub fn named_runs(&self) -> Result<Vec<NamedRun>, StoreError> {
        let names = self.task_names();
        let listed = self.runs()?;
        let mut runs: Vec<NamedRun> = listed
            .into_iter()
            .map(|listed| {
                let hash = listed.run.hash.clone();
                let accuracy = listed.run.other_result::<Value>().ok().flatten();
                let accuracy = accuracy.and_then(|result| result.pointer("/test/accuracy")?.as_f64());
                let state = match listed.state {
                    State::Done => "done",
                    State::NotFinite => "not finite",
                    _ if listed.run.holder().is_some() => "running",
                    State::Resumable => "stopped",
                    State::Failed => "failed",
                    State::Absent => "to do",
                };
                described(hash, state, listed.task.as_ref(), accuracy, &names)
            })
            .collect();
        let key = |run: &NamedRun| (run.data.clone(), run.seed, run.name.clone(), run.architecture.clone());
        runs.sort_by_key(key);
        Ok(runs)
    }
}

fn described(
    hash: String,
    state: &'static str,
    task: Option<&Task>,
    accuracy: Option<f64>,
    names: &HashMap<String, String>,
) -> NamedRun {
    let objective = |task: &Task| {
        let task = serde_json::to_value(task).ok()?;
        Some(task.pointer("/recipe/objective/kind")?.as_str()?.to_owned())
    };
    let known = |hash: &str| match names.get(hash) {
        Some(name) => name.clone(),
        None => hash.chars().take(8).collect(),
    };
    NamedRun {
        name: names.get(&hash).cloned(),
        hash,
        state,
        task: task.map(|task| task.kind().to_owned()),
        data: task.map(|task| task.data().to_string()),
        architecture: task.and_then(|task| task.makes()).map(|made| made.to_string()),
        objective: task.and_then(objective),
        teacher: task.map_or_else(Vec::new, |task| task.needs().into_iter().map(|n| known(&n.0)).collect()),
        seed: task.map(|task| task.seed()),
        accuracy,
    }
}
