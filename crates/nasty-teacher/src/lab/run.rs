//! One run's folder.

use super::claim::{Claim, Claims, Holder, holder};
use super::failure::Failure;
use super::leftovers::abandoned;
use super::plan::State;
use super::result::RunResult;
use super::store_error::{StoreError, io_error};
use super::task::Task;
use super::task_file;
use crate::ErrorClass;
use crate::files::{PART, write_whole};
use crate::numerics::Numerics;
use crate::training::EpochRow;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

const RESULT: &str = "result.json";
const FAILURE: &str = "failure.json";
const STATE: &str = "state.safetensors";

/// One run's folder.
#[derive(Clone, Debug)]
pub struct Run {
    /// The task's hash.
    pub hash: String,
    /// The folder.
    pub folder: PathBuf,
    pub(super) claims: Arc<Claims>,
}

impl Run {
    /// The result, if the run is finished.
    pub fn result(&self) -> Result<Option<RunResult>, StoreError> {
        self.read_json(RESULT, "the result of a run")
    }

    /// The result of a task that is no training, if it is finished.
    pub fn other_result<T: DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        self.read_json(RESULT, "the result of an attack or an analysis")
    }

    /// Whether there is a result.
    pub(super) fn is_finished(&self) -> bool {
        self.folder.join(RESULT).is_file()
    }

    /// What is known of it, if it has no result because a loss became infinite or NaN, on whatever numerics.
    pub fn failure(&self) -> Result<Option<Failure>, StoreError> {
        Ok(self.last_failure()?.filter(|failure| failure.class == ErrorClass::NotFinite))
    }

    /// How the last try failed, if there is no result.
    pub fn last_failure(&self) -> Result<Option<Failure>, StoreError> {
        if self.is_finished() {
            return Ok(None);
        }
        self.read_json(FAILURE, "the failure of a run")
    }

    /// What the store knows of it, where `numerics` are in use. A loss that was not finite elsewhere is tried again here.
    pub fn state_on(&self, numerics: &Numerics) -> State {
        match self.last_failure() {
            Ok(Some(failure)) if failure.class == ErrorClass::NotFinite && !failure.holds_on(numerics) => {
                State::Failed
            }
            _ => self.state(),
        }
    }

    /// What the store knows of it, whatever numerics are in use.
    pub fn state(&self) -> State {
        if self.is_finished() {
            return State::Done;
        }
        match self.last_failure() {
            Ok(Some(failure)) if failure.class == ErrorClass::NotFinite => State::NotFinite,
            // A failure that cannot be read is said to be one.
            Ok(Some(_)) | Err(_) => State::Failed,
            Ok(None) if self.state_file().is_file() => State::Resumable,
            Ok(None) => State::Absent,
        }
    }

    /// Whether another process is at work on it just now, as far as one look can tell.
    pub fn busy(&self) -> bool {
        self.claims.busy(&self.folder)
    }

    /// Claims the run for this process, waiting for another one that works on it; `stop` ends the wait.
    ///
    /// # Errors
    /// [`StoreError::Stopped`], or [`StoreError::Io`].
    pub fn claim(&self, stop: &dyn Fn() -> bool) -> Result<Claim, StoreError> {
        let claim = self.claims.claim(&self.folder, &self.hash, stop)?;
        self.sweep(claim.taken_over);
        Ok(claim)
    }

    /// Claims the run for this process, unless another one works on it.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn try_claim(&self) -> Result<Option<Claim>, StoreError> {
        let claim = self.claims.try_claim(&self.folder)?;
        if let Some(claim) = &claim {
            self.sweep(claim.taken_over);
        }
        Ok(claim)
    }

    /// Who works on it just now, as its lease says.
    pub fn holder(&self) -> Option<Holder> {
        holder(&self.folder)
    }

    /// Deletes the half-written files of a process that was killed; only old ones where their writer may be alive.
    fn sweep(&self, old_ones_only: bool) {
        let parts = fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(PART));
        let parts: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
        let gone = if old_ones_only { abandoned(&self.folder, parts) } else { parts };
        for path in gone {
            let _ = fs::remove_file(path);
        }
    }

    /// The task that stands in the folder, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for a file that is no task, or another one than the folder's name says.
    pub fn task(&self) -> Result<Option<Task>, StoreError> {
        task_file::read(&self.folder, &self.hash)
    }

    /// Writes the task, before any work, unless it is there.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write_task(&self, task: &Task) -> Result<(), StoreError> {
        task_file::write(&self.folder, task)
    }

    /// The finished epochs.
    pub fn rows(&self) -> Result<Vec<EpochRow>, StoreError> {
        let path = self.folder.join("metrics.jsonl");
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io_error(&path))?,
        };
        let row = |line| {
            serde_json::from_str(line).map_err(|e| StoreError::Damaged {
                path: path.clone(),
                expected: "one epoch a line",
                found: e.to_string(),
            })
        };
        text.lines().map(row).collect()
    }

    /// Where an interrupted run's state is kept.
    pub fn state_file(&self) -> PathBuf {
        self.folder.join(STATE)
    }

    /// Writes the finished epochs.
    pub fn write_rows<T: Serialize>(&self, rows: &[T]) -> Result<(), StoreError> {
        let path = self.folder.join("metrics.jsonl");
        let line = |row| serde_json::to_string(row).expect("plain data") + "\n";
        let text: String = rows.iter().map(line).collect();
        write_whole(&path, text.as_bytes()).map_err(io_error(&path))
    }

    /// Writes the result: the run is finished, and neither its state nor an earlier failure is needed any more.
    pub(super) fn finish(&self, result: &impl Serialize) -> Result<(), StoreError> {
        self.write_json(RESULT, result)?;
        self.remove(STATE)?;
        self.remove(FAILURE)
    }

    /// Writes how the run failed. The saved state stays.
    pub(super) fn fail(&self, failure: &Failure) -> Result<(), StoreError> {
        self.write_json(FAILURE, failure)
    }

    /// Deletes what is known of how it failed.
    pub(super) fn forget_failure(&self) -> Result<(), StoreError> {
        self.remove(FAILURE)
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::Io { path, source: e }),
            _ => Ok(()),
        }
    }

    fn read_json<T: DeserializeOwned>(
        &self,
        name: &str,
        expected: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let path = self.folder.join(name);
        match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Io { path, source }),
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| StoreError::Damaged {
                path,
                expected,
                found: e.to_string(),
            }),
        }
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        let mut text = serde_json::to_string_pretty(value).expect("plain data");
        text.push('\n');
        write_whole(&path, text.as_bytes()).map_err(io_error(&path))
    }
}
