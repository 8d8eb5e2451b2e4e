//! What the store keeps of a completed experiment and its runs: everything that a report needs.

use super::data_facts::DataFacts;
use super::experiment::{Entry, Experiment, Resolved, Role, Settings};
use super::outcome::Outcome;
use super::result::RunResult;
use super::store::Store;
use super::store_error::{StoreError, io_error};
use crate::files::write_whole;
use crate::training::Recipe;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

mod old;

/// Version of the records in `experiments/`. Those of version 1 are read too.
pub const RECORD_FORMAT: u32 = 2;

/// An experiment's settings and where its runs are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`RECORD_FORMAT`].
    pub format: u32,
    /// The experiment's name.
    pub name: String,
    /// The command that runs it again.
    pub command: String,
    /// What the command changes in the experiment's file, as KEY=VALUE.
    #[serde(default)]
    pub changes: Vec<String>,
    /// What the experiment says.
    pub settings: Settings,
    /// The data sets by name; empty in records of version 1.
    #[serde(default)]
    pub data: BTreeMap<String, DataFacts>,
    /// Its cells.
    pub entries: Vec<Entry>,
    /// Every task's name by its hash.
    pub tasks: BTreeMap<String, String>,
}

/// An experiment with what came out, by hash.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The experiment.
    pub record: Record,
    /// What came out.
    pub outcomes: BTreeMap<String, Outcome>,
    /// How the networks were trained, where the run's folder says it.
    pub recipes: BTreeMap<String, Recipe>,
}

/// A run that belongs to no experiment of its store.
#[derive(Clone, Debug)]
pub struct SingleRun {
    /// Its hash.
    pub hash: String,
    /// How it was trained, where that is a training's recipe.
    pub recipe: Option<Recipe>,
    /// What came out.
    pub result: RunResult,
}

impl Record {
    /// The record of `experiment`, started as `asked`, a name or a file, with `changes`.
    pub fn new(experiment: &Experiment, resolved: &Resolved, asked: &str, changes: &[String]) -> Self {
        let words = [&["nasty".to_owned(), "run".to_owned(), asked.to_owned()], changes].concat();
        Self {
            format: RECORD_FORMAT,
            name: experiment.name.clone(),
            command: words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
            changes: changes.to_vec(),
            settings: experiment.settings.clone(),
            data: resolved.data.clone(),
            entries: resolved.entries.clone(),
            tasks: resolved.tasks.iter().map(|(name, task)| (task.hash(), name.clone())).collect(),
        }
    }

    /// The name of its file: experiment, scale, and what its runs are.
    pub fn file_name(&self) -> String {
        format!("{}-{}-{}.json", self.name, self.settings.scale, self.digest())
    }

    /// What names its report: experiment and scale; with what its runs are, if more than the scale was changed, so that no
    /// two experiments have the same report.
    pub fn report_name(&self) -> String {
        let usual = self.changes.iter().all(|change| change.starts_with("scale="));
        let name = format!("{}-{}", self.name, self.settings.scale);
        if usual { name } else { format!("{name}-{}", self.digest()) }
    }

    /// First eight hexadecimal digits of the SHA-256 of its entries.
    pub fn digest(&self) -> String {
        let json = serde_json::to_string(&self.entries).expect("entries are plain data");
        Sha256::digest(json).iter().take(4).map(|b| format!("{b:02x}")).collect()
    }
}

/// `word` as a shell takes it: in quotes if it has characters that a shell reads.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "=.,:/_+-%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Store {
    /// Keeps `record`; an equal experiment's record is replaced.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written.
    pub fn keep(&self, record: &Record) -> Result<(), StoreError> {
        let folder = self.root().join("experiments");
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        let path = folder.join(record.file_name());
        let text = serde_json::to_string_pretty(record).expect("a record is plain data") + "\n";
        write_whole(&path, text.as_bytes()).map_err(io_error(&path))?;
        // A record of an older version has another name. One that cannot be read or deleted stays: it harms nothing here.
        for (of_other, other) in self.records_with_files().unwrap_or_default() {
            if of_other != path && other.file_name() == record.file_name() {
                let _ = fs::remove_file(of_other);
            }
        }
        Ok(())
    }

    /// The experiments that were run here, the one run last at the end.
    ///
    /// # Errors
    /// [`StoreError`] if a record cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, StoreError> {
        Ok(self.records_with_files()?.into_iter().map(|(_, record)| record).collect())
    }

    fn records_with_files(&self) -> Result<Vec<(std::path::PathBuf, Record)>, StoreError> {
        let folder = self.root().join("experiments");
        let entries = match fs::read_dir(&folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io_error(&folder))?,
        };
        let mut records = Vec::new();
        for entry in entries {
            let path = entry.map_err(io_error(&folder))?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let age = path.metadata().and_then(|m| m.modified()).map_err(io_error(&path))?;
            let record = read(&path)?;
            records.push((age, path, record));
        }
        records.sort_by(|a, b| (a.0, &a.2.name).cmp(&(b.0, &b.2.name)));
        Ok(records.into_iter().map(|(_, path, record)| (path, record)).collect())
    }

    /// What the runs of `record` say.
    ///
    /// # Errors
    /// [`StoreError`] if a run cannot be read.
    pub fn findings(&self, record: Record) -> Result<Findings, StoreError> {
        let (mut outcomes, mut recipes) = (BTreeMap::new(), BTreeMap::new());
        for entry in &record.entries {
            if outcomes.contains_key(&entry.task) {
                continue;
            }
            outcomes.insert(entry.task.clone(), self.outcome(entry)?);
            if let Some(recipe) = self.recipe_of(&entry.task) {
                recipes.insert(entry.task.clone(), recipe);
            }
        }
        Ok(Findings { record, outcomes, recipes })
    }

    fn outcome(&self, entry: &Entry) -> Result<Outcome, StoreError> {
        let run = self.run(&entry.task);
        if let Some(failure) = run.failure()? {
            return Ok(Outcome::NotFinite(Box::new(failure)));
        }
        let found = match entry.role {
            Role::Part(part) => part.read(&run)?,
            Role::NormalTeacher | Role::NastyTeacher | Role::Adversary | Role::Student(_) => {
                Outcome::network(&run)?
            }
        };
        Ok(found.unwrap_or(Outcome::Missing))
    }

    /// The training's recipe in the folder of the run `hash`. A report does without one that cannot be read.
    fn recipe_of(&self, hash: &str) -> Option<Recipe> {
        let folder = self.run(hash).folder;
        let read = |name: &str| serde_json::from_slice::<Value>(&fs::read(folder.join(name)).ok()?).ok();
        let recipe = match read("task.json") {
            Some(mut task) => task.get_mut("recipe")?.take(),
            None => read("recipe.json")?,
        };
        serde_json::from_value(recipe).ok()
    }

    /// The finished networks of this store that none of `records` asks for, by hash.
    ///
    /// # Errors
    /// [`StoreError`] if the store's folder cannot be read.
    pub fn single_runs(&self, records: &[Record]) -> Result<Vec<SingleRun>, StoreError> {
        let root = self.root();
        let mut runs = Vec::new();
        for entry in fs::read_dir(root).map_err(io_error(root))? {
            let hash = entry.map_err(io_error(root))?.file_name().to_string_lossy().into_owned();
            if records.iter().any(|record| record.tasks.contains_key(&hash)) {
                continue;
            }
            match self.run(&hash).result() {
                Ok(Some(result)) => runs.push(SingleRun { recipe: self.recipe_of(&hash), hash, result }),
                // What is no run, or the result of an attack or an analysis, is passed over.
                Ok(None) => {}
                Err(error) if self.run(&hash).other_result::<Value>().is_err() => {
                    tracing::warn!("{error}; the report leaves this run out");
                }
                Err(_) => {}
            }
        }
        runs.sort_by(|a, b| a.hash.cmp(&b.hash));
        Ok(runs)
    }
}

fn read(path: &Path) -> Result<Record, StoreError> {
    let bytes = fs::read(path).map_err(io_error(path))?;
    let damaged = |found: String| StoreError::Damaged {
        path: path.to_owned(),
        expected: "the record of an experiment",
        found,
    };
    let mut json: Value = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    match json.get("format").and_then(Value::as_u64) {
        Some(1) => old::upgrade(&mut json, RECORD_FORMAT),
        Some(2) => {}
        other => {
            let found = other.map_or("no format".to_owned(), |format| format!("format {format}"));
            return Err(damaged(found));
        }
    }
    serde_json::from_value(json).map_err(|e| damaged(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_quoted_where_a_shell_would_read_them() {
        assert_eq!(quoted("scale=paper"), "scale=paper");
        assert_eq!(quoted("seeds=[0,1]"), "'seeds=[0,1]'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
