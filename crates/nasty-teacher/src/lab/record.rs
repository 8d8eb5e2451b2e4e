//! What the store keeps of an experiment that was run, and what its runs say: all that a report needs.

use super::experiment::{Entry, Experiment, Resolved, Role, Settings};
use super::failure::Failure;
use super::result::{EmbeddingResult, InversionResult, ResponsesResult, RunResult};
use super::store::{Store, StoreError, io_error};
use crate::files::write_whole;
use crate::training::EpochRow;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;

/// Version of the records in `experiments/`.
pub const RECORD_FORMAT: u32 = 1;

/// An experiment's settings and where its runs are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`RECORD_FORMAT`].
    pub format: u32,
    /// The experiment's name.
    pub name: String,
    /// The command that runs it again.
    pub command: String,
    /// What the experiment says.
    pub settings: Settings,
    /// Its cells.
    pub entries: Vec<Entry>,
    /// Every task's name by its hash.
    pub tasks: BTreeMap<String, String>,
}

/// What the store has at one hash.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Nothing finished yet.
    Missing,
    /// Its loss was not finite.
    NotFinite(Box<Failure>),
    /// A trained network, or one distilled without data: its result and its course.
    Trained(Box<RunResult>, Vec<EpochRow>),
    /// An inversion, and its images: channels and pixels of each.
    Inverted(Box<InversionResult>, Vec<Picture>),
    /// A t-SNE.
    Mapped(Box<EmbeddingResult>),
    /// Networks' answers to test images, and those.
    Answered(Box<ResponsesResult>, Vec<Picture>),
}

/// Channels and pixels of an image.
pub type Picture = (usize, Vec<u8>);

/// An experiment with what came out, by hash.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The experiment.
    pub record: Record,
    /// What came out.
    pub outcomes: BTreeMap<String, Outcome>,
}

impl Record {
    /// The record of `experiment`, started by `command`.
    pub fn new(experiment: &Experiment, resolved: &Resolved, command: &str) -> Self {
        Self {
            format: RECORD_FORMAT,
            name: experiment.name.clone(),
            command: command.to_owned(),
            settings: experiment.settings.clone(),
            entries: resolved.entries.clone(),
            tasks: resolved.tasks.iter().map(|(name, task)| (task.hash(), name.clone())).collect(),
        }
    }

    /// The name of its file: experiment, scale, and what its runs are.
    pub fn file_name(&self) -> String {
        let json = serde_json::to_string(&self.entries).expect("entries are plain data");
        let hex: String = Sha256::digest(json).iter().take(4).map(|b| format!("{b:02x}")).collect();
        format!("{}-{}-{hex}.json", self.name, self.settings.scale)
    }
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
        write_whole(&path, text.as_bytes()).map_err(io_error(&path))
    }

    /// The experiments that were run here, the one run last at the end.
    ///
    /// # Errors
    /// [`StoreError`] if a record cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, StoreError> {
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
            let bytes = fs::read(&path).map_err(io_error(&path))?;
            let age = path.metadata().and_then(|m| m.modified()).map_err(io_error(&path))?;
            let record = serde_json::from_slice::<Record>(&bytes)
                .map_err(|e| e.to_string())
                .and_then(
                    |r| if r.format == RECORD_FORMAT { Ok(r) } else { Err(format!("format {}", r.format)) },
                )
                .map_err(|found| StoreError::Damaged {
                    path,
                    expected: "the record of an experiment",
                    found,
                })?;
            records.push((age, record));
        }
        records.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
        Ok(records.into_iter().map(|(_, record)| record).collect())
    }

    /// What the runs of `record` say.
    ///
    /// # Errors
    /// [`StoreError`] if a run cannot be read.
    pub fn findings(&self, record: Record) -> Result<Findings, StoreError> {
        let mut outcomes = BTreeMap::new();
        for entry in &record.entries {
            if !outcomes.contains_key(&entry.task) {
                outcomes.insert(entry.task.clone(), self.outcome(entry)?);
            }
        }
        Ok(Findings { record, outcomes })
    }

    fn outcome(&self, entry: &Entry) -> Result<Outcome, StoreError> {
        let run = self.run(&entry.task);
        if let Some(failure) = run.failure()? {
            return Ok(Outcome::NotFinite(Box::new(failure)));
        }
        let found = match entry.role {
            Role::Inversion(_) => match run.other_result::<InversionResult>()? {
                Some(result) => {
                    let images = run.images(result.network.total, result.size)?;
                    Some(Outcome::Inverted(Box::new(result), images))
                }
                None => None,
            },
            Role::Responses => match run.other_result::<ResponsesResult>()? {
                Some(result) => {
                    let images = run.images(result.responses.len(), result.size)?;
                    Some(Outcome::Answered(Box::new(result), images))
                }
                None => None,
            },
            Role::Embedding(..) => {
                run.other_result().map(|found| found.map(|r| Outcome::Mapped(Box::new(r))))?
            }
            Role::NormalTeacher
            | Role::NastyTeacher
            | Role::Adversary
            | Role::Student(_)
            | Role::DataFree(_) => {
                let rows = run.rows()?;
                run.result()?.map(|result| Outcome::Trained(Box::new(result), rows))
            }
        };
        Ok(found.unwrap_or(Outcome::Missing))
    }
}
