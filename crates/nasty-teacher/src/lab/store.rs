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
//! In addition, `plans/` holds the plans of experiments for workers and what workers tell each other, `audits/` which tasks audits consist of, `logits/` holds tables of frozen networks' logits (it can be deleted at any time), and `experiments/` one
//! file per completed experiment: which run belongs in which cell of its tables.

use super::claim::Claims;
use super::leftovers::{abandoned, entries};
use super::plan::{Plan, State};
use super::run::Run;
use super::store_error::{StoreError, io_error};
use super::task::Task;
use crate::files::{PART, write_whole};
use crate::nets::digest;
use crate::training::NetworkRef;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of the plans in a store.
pub(super) const PLANS: &str = "plans";
/// Digits of a task's hash.
const HASH_DIGITS: usize = 16;

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
        for folder in tables.chain(["experiments", PLANS].map(|name| self.root.join(name))) {
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

    /// The run that `text`, the first digits of its hash, means, whether or not its task can be read.
    ///
    /// # Errors
    /// [`StoreError::NoTask`], or [`StoreError::Ambiguous`].
    pub fn find(&self, text: &str) -> Result<Run, StoreError> {
        let meant = |name: &String| !text.is_empty() && name.starts_with(text) && is_hash(name);
        let candidates: Vec<String> = self.names()?.into_iter().filter(meant).collect();
        match candidates.as_slice() {
            [one] => Ok(self.run(one)),
            [] => Err(StoreError::NoTask { reference: text.to_owned(), store: self.root.clone() }),
            _ => Err(StoreError::ambiguous(text, candidates)),
        }
    }

    /// The task that `text`, the first digits of its hash, means.
    ///
    /// # Errors
    /// [`StoreError::NoTask`], [`StoreError::Ambiguous`], or [`StoreError::Damaged`].
    pub fn task(&self, text: &str) -> Result<Task, StoreError> {
        let none = || StoreError::NoTask { reference: text.to_owned(), store: self.root.clone() };
        self.find(text)?.task()?.ok_or_else(none)
    }

    /// Writes the tasks of `plan`, so that other processes can carry them out.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write_tasks(&self, plan: &Plan) -> Result<(), StoreError> {
        plan.tasks.iter().try_for_each(|planned| self.run(&planned.hash).write_task(&planned.task))
    }

    /// The names of what lies in the store; none if there is no store.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
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

fn is_hash(name: &str) -> bool {
    name.len() == HASH_DIGITS && name.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::leftovers::ABANDONED;
    use std::time::{Duration, SystemTime};

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
