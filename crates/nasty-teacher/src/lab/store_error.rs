//! Why a store cannot be used.

use miette::Diagnostic;
use std::io;
use std::path::{Path, PathBuf};

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
    /// A plan that the store does not have.
    #[error("{what} in the store {store}")]
    #[diagnostic(help("`nasty run NAME` and `nasty slurm NAME` write one"))]
    NoPlan {
        /// What was asked for.
        what: String,
        /// The store.
        store: PathBuf,
    },
    /// A run that cannot be deleted.
    #[error("run {0} is being worked on by another process")]
    #[diagnostic(help("stop that process first; `nasty status` says where it is"))]
    Busy(String),
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
            | Self::NoPlan { .. }
            | Self::Busy(_)
            | Self::Ambiguous { .. } => crate::ErrorClass::Data,
        }
    }
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, source }
}

impl StoreError {
    /// The error that `reference` could mean any of `candidates`.
    pub(super) fn ambiguous(reference: &str, mut candidates: Vec<String>) -> Self {
        candidates.sort();
        Self::Ambiguous { reference: reference.to_owned(), candidates: candidates.join(", ") }
    }
}
