//! The store: one folder per task, named by its hash. A run is finished (`result.json` is there), or resumable
//! (`state.safetensors` is there), or failed (`failure.json` is there), or absent.
//!
//! | file | contents |
//! |---|---|
//! | `task.json` | the task; written when it is planned. Version 0.1.0 wrote `recipe.json` |
//! | `metrics.jsonl` | one line per epoch |
//! | `events.out.tfevents.nasty-teacher` | the same for TensorBoard |
//! | `state.safetensors` | the state of an interrupted run, and what it was computed from and with; deleted when finished, kept after a failure |
//! | `model.safetensors`, `config.json` | the chosen weights, with PyTorch's names |
//! | `images.png` | the images of an attack or an analysis |
//! | `result.json` | the result; written last |
//! | `failure.json` | how the last attempt failed: a loss that is NaN or infinite (a result, on the same numerics), or anything else (tried again) |
//! | `lock`, `claim.json` | held by the process that works on the run; see `claim` |
//!
//! In addition, `logits/` holds tables of frozen networks' logits (it can be deleted at any time), and `experiments/` one
//! file per completed experiment: which run belongs in which cell of its tables.

use super::claim::Claims;
use super::plan::{Plan, State};
use super::run::Run;
use super::task::Task;
use crate::files::{PART, new_file, write_whole};
use crate::nets::digest;
use crate::training::NetworkRef;
use miette::Diagnostic;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A half-written file of this age is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Digits of a task's hash.
const HASH_DIGITS: usize = 16;

/// A store that cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot read or write {path}: {source}")]
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
    #[error("`{reference}` is ambiguous: {candidates}")]
    #[diagnostic(help("give more digits"))]
    Ambiguous {
        /// What was asked for.
        reference: String,
        /// The hashes that begin with it.
        candidates: String,
    },
    /// A reference to a task that the store does not have.
    #[error("no task `{reference}` in the store {store}")]
    #[diagnostic(help("tasks are written when an experiment starts; `nasty run NAME` starts one"))]
    NoTask {
        /// What was asked for.
        reference: String,
        /// The store.
        store: PathBuf,
    },
    /// Stopped while another process was at work on the run.
    #[error("stopped while waiting for another process that works on run {0}")]
    Stopped(String),
}

impl crate::Classified for StoreError {
    fn class(&self) -> crate::ErrorClass {
        match self {
            Self::Stopped(_) => crate::ErrorClass::Stopped,
            Self::Io { .. }
            | Self::Damaged { .. }
            | Self::NoNetwork { .. }
            | Self::NoTask { .. }
            | Self::Ambiguous { .. } => crate::ErrorClass::Data,
        }
    }
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, source }
}

/// A folder of runs.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    read_only: bool,
    claims: Arc<Claims>,
}

/// A run of a store, for a list.
#[derive(Clone, Debug)]
pub struct ListedRun {
    /// The run.
    pub run: Run,
    /// Its task; absent where the file is missing or damaged.
    pub task: Option<Task>,
    /// What the store knows of it, whatever numerics are in use.
    pub state: State,
}

impl Store {
    /// The store at `root` as a process with other `claims` sees it.
    #[cfg(test)]
    pub(super) fn seen_with(root: &Path, claims: Claims) -> Self {
        Self { root: root.to_owned(), read_only: false, claims: Arc::new(claims) }
    }

    /// The store at `root`, made if absent.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(root).map_err(io_error(root))?;
        let store = Self { read_only: false, ..Self::look(root) };
        store.sweep();
        Ok(store)
    }

    /// The store at `root`, whether or not there is one, for reading only: nothing is made or changed.
    pub fn look(root: &Path) -> Self {
        Self { root: root.to_owned(), read_only: true, claims: Arc::new(Claims::of_this_process()) }
    }

    /// Deletes half-written files that killed processes left outside runs' folders. Young ones may be another process's.
    fn sweep(&self) {
        let tables = entries(&self.root.join("logits")).into_iter().filter(|path| path.is_dir());
        for folder in tables.chain([self.root.join("experiments")]) {
            let half = |path: &PathBuf| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PART))
            };
            let parts: Vec<PathBuf> = entries(&folder).into_iter().filter(half).collect();
            for path in abandoned(&folder, parts) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Whether it was opened for more than looking.
    pub(super) fn is_writable(&self) -> bool {
        !self.read_only
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The run of the recipe with this hash, whether or not there is one yet.
    pub fn run(&self, hash: &str) -> Run {
        Run { hash: hash.to_owned(), folder: self.root.join(hash), claims: self.claims.clone() }
    }

    /// The runs that were planned, begun or finished here, by hash.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the folder cannot be read.
    pub fn runs(&self) -> Result<Vec<ListedRun>, StoreError> {
        let mut hashes: Vec<String> = self.names()?.into_iter().filter(|name| is_hash(name)).collect();
        hashes.sort();
        let listed = |hash: String| {
            let run = self.run(&hash);
            ListedRun { task: run.task().ok().flatten(), state: run.state(), run }
        };
        Ok(hashes.into_iter().map(listed).collect())
    }

    /// The task that `text`, the first digits of its hash, means.
    ///
    /// # Errors
    /// [`StoreError::NoTask`], [`StoreError::Ambiguous`], or [`StoreError::Damaged`].
    pub fn task(&self, text: &str) -> Result<Task, StoreError> {
        let none = || StoreError::NoTask { reference: text.to_owned(), store: self.root.clone() };
        let meant = |name: &String| !text.is_empty() && name.starts_with(text) && is_hash(name);
        let candidates: Vec<String> = self.names()?.into_iter().filter(meant).collect();
        match candidates.as_slice() {
            [one] => self.run(one).task()?.ok_or_else(none),
            [] => Err(none()),
            _ => Err(StoreError::ambiguous(text, candidates)),
        }
    }

    /// Writes the tasks of `plan`, so that other processes can carry them out.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write_tasks(&self, plan: &Plan) -> Result<(), StoreError> {
        plan.tasks.iter().try_for_each(|planned| self.run(&planned.hash).write_task(&planned.task))
    }

    /// The names of what lies in the store; none if there is no store.
    fn names(&self) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(&self.root) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io_error(&self.root))?,
        };
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        entries.map(name).collect::<io::Result<_>>().map_err(io_error(&self.root))
    }

    /// The folder with the weights of `network`.
    pub fn network(&self, network: &NetworkRef) -> PathBuf {
        self.root.join(&network.0)
    }

    /// What `text` means: the first digits of a finished run's hash, or a folder with weights. Weights from outside
    /// the store are copied into it under `weights-<hash>`, so that the store stands alone; one that is only looked at
    /// stays as it is.
    pub fn resolve(&self, text: &str) -> Result<NetworkRef, StoreError> {
        let folder = Path::new(text);
        if folder.join("config.json").is_file() {
            return self.adopt(folder);
        }
        let meant = |name: &String| {
            !text.is_empty() && name.starts_with(text) && self.root.join(name).join("config.json").is_file()
        };
        let candidates: Vec<String> = self.names()?.into_iter().filter(meant).collect();
        match candidates.as_slice() {
            [one] => self.adopt(&self.root.join(one)),
            [] => Err(StoreError::NoNetwork { reference: text.to_owned(), store: self.root.clone() }),
            _ => Err(StoreError::ambiguous(text, candidates)),
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
        if self.read_only {
            return Ok(NetworkRef(name));
        }
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

impl StoreError {
    fn ambiguous(reference: &str, mut candidates: Vec<String>) -> Self {
        candidates.sort();
        Self::Ambiguous { reference: reference.to_owned(), candidates: candidates.join(", ") }
    }
}

fn is_hash(name: &str) -> bool {
    name.len() == HASH_DIGITS && name.bytes().all(|b| b.is_ascii_hexdigit())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Those of `parts`, half-written files in `folder`, that are so old that nobody writes them any more. Their age is by the
/// clock that stamps new files in the folder: of a network's file system it is not this host's.
pub(super) fn abandoned(folder: &Path, parts: Vec<PathBuf>) -> Vec<PathBuf> {
    if parts.is_empty() {
        return parts;
    }
    let stamp = new_file(PART).tempfile_in(folder).and_then(|file| file.as_file().metadata()?.modified());
    let Ok(now) = stamp else { return Vec::new() };
    let old = |path: &PathBuf| {
        let written = path.metadata().and_then(|found| found.modified());
        written.is_ok_and(|written| now.duration_since(written).is_ok_and(|age| age > ABANDONED))
    };
    parts.into_iter().filter(old).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn made(path: &Path, age: Duration) {
        fs::create_dir_all(path.parent().expect("a parent")).expect("writable");
        let file = fs::File::create(path).expect("writable");
        file.set_modified(SystemTime::now() - age).expect("it can be set");
    }

    #[test]
    fn half_written_files_of_others_are_left_until_they_are_old() {
        let folder = tempfile::tempdir().expect("temp");
        let here = folder.path();
        let [young, old] = ["logits/t/.part-a", "logits/t/.part-b"].map(|name| here.join(name));
        made(&young, Duration::from_secs(60));
        made(&old, 2 * ABANDONED);
        made(&here.join("logits/t/kept"), 2 * ABANDONED);
        Store::open(here).expect("writable");
        assert_eq!(entries(&here.join("logits/t")).len(), 2);
        assert!(young.exists() && !old.exists());
    }

    #[test]
    fn looking_makes_nothing() {
        let folder = tempfile::tempdir().expect("temp");
        let network = folder.path().join("network");
        for name in ["config.json", "model.safetensors"] {
            made(&network.join(name), Duration::ZERO);
        }
        let root = folder.path().join("runs");
        let store = Store::look(&root);
        assert!(matches!(store.resolve("abc"), Err(StoreError::NoNetwork { .. })));
        assert!(matches!(store.task("abc"), Err(StoreError::NoTask { .. })));
        assert_eq!(store.runs().expect("readable").len(), 0);
        let reference = store.resolve(network.to_str().expect("UTF-8")).expect("there");
        assert!(!root.exists());
        assert_eq!(
            Store::open(&root).expect("made").resolve(network.to_str().expect("UTF-8")).expect("there"),
            reference
        );
        assert!(root.join(&reference.0).join("config.json").is_file());
    }
}
