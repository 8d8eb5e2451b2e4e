//! The store: one folder per recipe, named by its hash. A run is finished (`result.json` is there), or resumable
//! (`state.safetensors` is there), or absent.
//!
//! | file | what |
//! |---|---|
//! | `recipe.json` | the recipe |
//! | `metrics.jsonl` | one line an epoch |
//! | `state.safetensors` | what an interrupted run goes on from; gone when finished |
//! | `model.safetensors`, `config.json` | the chosen weights, with PyTorch's names |
//! | `result.json` | the result; written last |
//! | `lock` | held by the process that works on the run |

use super::result::RunResult;
use crate::files::write_whole;
use crate::training::{EpochRow, NetworkRef, Recipe};
use miette::Diagnostic;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

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

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
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
        Ok(Self { root: root.to_owned() })
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
            [one] => Ok(NetworkRef(one.clone())),
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
            return Ok(NetworkRef(name.to_string_lossy().into_owned()));
        }
        let names = ["config.json", "model.safetensors"];
        let mut hasher = Sha256::new();
        let mut contents = Vec::new();
        for name in names {
            let path = folder.join(name);
            let bytes = fs::read(&path).map_err(io_error(&path))?;
            hasher.update(&bytes);
            contents.push(bytes);
        }
        let hash: String = hasher.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
        let name = format!("weights-{hash}");
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
        let path = self.folder.join("result.json");
        match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Io { path, source }),
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| StoreError::Damaged {
                path,
                expected: "the result of a run",
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
                Ok(()) => return Ok(RunLock(file)),
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

    /// Where an interrupted run's state is kept.
    pub fn state_file(&self) -> PathBuf {
        self.folder.join("state.safetensors")
    }

    /// Writes the recipe, before any work.
    pub fn write_recipe(&self, recipe: &Recipe) -> Result<(), StoreError> {
        self.write_json("recipe.json", recipe)
    }

    /// Writes the finished epochs.
    pub fn write_rows(&self, rows: &[EpochRow]) -> Result<(), StoreError> {
        let path = self.folder.join("metrics.jsonl");
        let line = |row| serde_json::to_string(row).expect("plain data") + "\n";
        let text: String = rows.iter().map(line).collect();
        write_whole(&path, text.as_bytes()).map_err(io_error(&path))
    }

    /// Writes the result: the run is finished, and its state is not needed any more.
    pub fn finish(&self, result: &RunResult) -> Result<(), StoreError> {
        self.write_json("result.json", result)?;
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
