//! The store: one folder per task, named by its hash. A run is finished (`result.json` is there; or `failure.json`, where
//! its loss is not finite), or resumable (`state.safetensors` is there), or absent.
//!
//! | file | what |
//! |---|---|
//! | `recipe.json` | the recipe |
//! | `metrics.jsonl` | one line an epoch |
//! | `events.out.tfevents.nasty-teacher` | the same for TensorBoard |
//! | `state.safetensors` | what an interrupted run goes on from; gone when finished, kept beside a failure |
//! | `model.safetensors`, `config.json` | the chosen weights, with PyTorch's names |
//! | `images.png` | the images of an attack or an analysis |
//! | `result.json` | the result; written last |
//! | `failure.json` | in its place: at which step the loss became NaN or infinite |
//! | `lock` | held by the process that works on the run |
//!
//! Beside them, `logits/` holds tables of frozen networks' logits (it can be deleted at any time), and `experiments/` one
//! file an experiment that was run: which run stands at which place of its tables.

use super::plan::State;
use super::result::{Failure, RunResult};
use crate::files::{PART, write_whole};
use crate::nets::digest;
use crate::training::{EpochRow, NetworkRef};
use miette::Diagnostic;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A half-written file of this age is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A store that cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StoreError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the store is damaged.
    #[error("{path}: expected {expected}, found {found}")]
    #[diagnostic(help("delete the run's folder to compute it again"))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
        /// What is.
        found: String,
    },
    /// A reference to a network that the store does not have.
    #[error(
        "no finished run `{reference}` in the store {store}, and no folder of that name with a config.json"
    )]
    #[diagnostic(help(
        "give the hash that `nasty train` printed, a run's folder, or a folder made by `nasty import`"
    ))]
    NoNetwork {
        /// What was asked for.
        reference: String,
        /// The store.
        store: PathBuf,
    },
    /// A reference that could mean several runs.
    #[error("`{reference}` could be any of {candidates}")]
    #[diagnostic(help("give more digits"))]
    Ambiguous {
        /// What was asked for.
        reference: String,
        /// The hashes that begin with it.
        candidates: String,
    },
    /// Stopped while another process was at work on the run.
    #[error("stopped while waiting for another process at work on run {0}")]
    Stopped(String),
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, source }
}

/// A folder of runs.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// One run's folder.
#[derive(Clone, Debug)]
pub struct Run {
    /// The recipe's hash.
    pub hash: String,
    /// The folder.
    pub folder: PathBuf,
}

/// Held while a process works on a run; freed when dropped, or when the process ends however it ends.
pub struct RunLock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

impl Store {
    /// The store at `root`, made if absent.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(root).map_err(io_error(root))?;
        let store = Self { root: root.to_owned() };
        store.sweep();
        Ok(store)
    }

    /// Deletes half-written files that killed processes left outside runs' folders. Young ones may be another process's.
    fn sweep(&self) {
        let within = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
        let tables = within(self.root.join("logits")).filter(|path| path.is_dir());
        for path in tables.chain([self.root.join("experiments")]).flat_map(within) {
            let half = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PART));
            let age = path.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
            if half && age.is_some_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The run of the recipe with this hash, whether or not there is one yet.
    pub fn run(&self, hash: &str) -> Run {
        Run { hash: hash.to_owned(), folder: self.root.join(hash) }
    }

    /// The folder with the weights of `network`.
    pub fn network(&self, network: &NetworkRef) -> PathBuf {
        self.root.join(&network.0)
    }

    /// What `text` means: the first digits of a finished run's hash, or a folder with weights. Weights from outside
    /// the store are copied into it under `weights-<hash>`, so that the store stands alone.
    pub fn resolve(&self, text: &str) -> Result<NetworkRef, StoreError> {
        let folder = Path::new(text);
        if folder.join("config.json").is_file() {
            return self.adopt(folder);
        }
        let mut candidates = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(io_error(&self.root))? {
            let entry = entry.map_err(io_error(&self.root))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !text.is_empty() && name.starts_with(text) && entry.path().join("config.json").is_file() {
                candidates.push(name);
            }
        }
        match candidates.as_slice() {
            [one] => self.adopt(&self.root.join(one)),
            [] => Err(StoreError::NoNetwork { reference: text.to_owned(), store: self.root.clone() }),
            _ => Err(StoreError::Ambiguous { reference: text.to_owned(), candidates: candidates.join(", ") }),
        }
    }

    fn adopt(&self, folder: &Path) -> Result<NetworkRef, StoreError> {
        let inside = folder.canonicalize().ok().zip(self.root.canonicalize().ok());
        if let Some((folder, root)) = inside
            && folder.parent() == Some(&root)
            && let Some(name) = folder.file_name()
        {
            // Under any other name it would be a network of which recipes do not say what it is.
            let network = NetworkRef(name.to_string_lossy().into_owned());
            if network.is_identity() {
                return Ok(network);
            }
        }
        let names = ["config.json", "model.safetensors"];
        let read = |name| {
            let path = folder.join(name);
            fs::read(&path).map_err(io_error(&path))
        };
        let contents = [read(names[0])?, read(names[1])?];
        let name = format!("weights-{}", digest(&contents[0], &contents[1]));
        let target = self.root.join(&name);
        fs::create_dir_all(&target).map_err(io_error(&target))?;
        // config.json last: a folder with a config.json is complete.
        for (name, bytes) in names.iter().zip(&contents).rev() {
            let path = target.join(name);
            write_whole(&path, bytes).map_err(io_error(&path))?;
        }
        Ok(NetworkRef(name))
    }
}

impl Run {
    /// The result, if the run is finished.
    pub fn result(&self) -> Result<Option<RunResult>, StoreError> {
        self.read_json("result.json", "the result of a run")
    }

    /// The result of a task that is no training, if it is finished.
    pub fn other_result<T: DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        self.read_json("result.json", "the result of an attack or an analysis")
    }

    /// What is known of it, if its loss became infinite or NaN.
    pub fn failure(&self) -> Result<Option<Failure>, StoreError> {
        self.read_json("failure.json", "the failure of a run")
    }

    /// What the store knows of it.
    pub fn state(&self) -> State {
        let has = |name: &str| self.folder.join(name).is_file();
        match () {
            () if has("result.json") => State::Done,
            () if has("failure.json") => State::NotFinite,
            () if self.state_file().is_file() => State::Resumable,
            () => State::Absent,
        }
    }

    /// Whether a process is at work on it just now.
    pub fn busy(&self) -> bool {
        let file = File::open(self.folder.join("lock"));
        file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
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

    /// Takes the run's lock, waiting for another process that works on it; `stop` ends the wait.
    pub fn lock(&self, stop: &dyn Fn() -> bool) -> Result<RunLock, StoreError> {
        fs::create_dir_all(&self.folder).map_err(io_error(&self.folder))?;
        let path = self.folder.join("lock");
        let file = File::create(&path).map_err(io_error(&path))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    self.sweep();
                    return Ok(RunLock(file));
                }
                Err(TryLockError::Error(source)) => return Err(StoreError::Io { path, source }),
                Err(TryLockError::WouldBlock) if stop() => {
                    return Err(StoreError::Stopped(self.hash.clone()));
                }
                Err(TryLockError::WouldBlock) => {
                    if !told {
                        tracing::info!(
                            "run {} is being worked on by another process; waiting for it",
                            self.hash
                        );
                        told = true;
                    }
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        }
    }

    /// Deletes the half-written files of a process that was killed. Only who holds the lock writes here.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(PART) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Where an interrupted run's state is kept.
    pub fn state_file(&self) -> PathBuf {
        self.folder.join("state.safetensors")
    }

    /// Writes the recipe, before any work.
    pub fn write_recipe(&self, recipe: &impl Serialize) -> Result<(), StoreError> {
        self.write_json("recipe.json", recipe)
    }

    /// Writes the finished epochs.
    pub fn write_rows<T: Serialize>(&self, rows: &[T]) -> Result<(), StoreError> {
        let path = self.folder.join("metrics.jsonl");
        let line = |row| serde_json::to_string(row).expect("plain data") + "\n";
        let text: String = rows.iter().map(line).collect();
        write_whole(&path, text.as_bytes()).map_err(io_error(&path))
    }

    /// Writes the result: the run is finished, and its state is not needed any more.
    pub fn finish(&self, result: &impl Serialize) -> Result<(), StoreError> {
        self.write_json("result.json", result)?;
        self.forget_state()
    }

    /// Writes that the loss is not finite: the run is finished. The state saved last stays.
    pub fn fail(&self, failure: &Failure) -> Result<(), StoreError> {
        self.write_json("failure.json", failure)
    }

    fn forget_state(&self) -> Result<(), StoreError> {
        let state = self.state_file();
        match fs::remove_file(&state) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::Io { path: state, source: e }),
            _ => Ok(()),
        }
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        let mut text = serde_json::to_string_pretty(value).expect("plain data");
        text.push('\n');
        write_whole(&path, text.as_bytes()).map_err(io_error(&path))
    }
}
