//! Errors of finding and reading data sets.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// Why a data set could not be named, found, read or fetched.
#[derive(Debug, Error, Diagnostic)]
pub enum DataError {
    /// A name outside the closed set.
    #[error("there is no data set `{name}`")]
    #[diagnostic(help("did you mean `{nearest}`? Known: {known}"))]
    UnknownName {
        /// What was asked for.
        name: String,
        /// The known name that is spelled most like it.
        nearest: String,
        /// All known names.
        known: String,
    },
    /// Nothing of that data set at any of the places where it may lie.
    #[error("{what} was not found; looked for {}", list(looked))]
    #[diagnostic(help("{help}"))]
    Missing {
        /// The data set or the part of it.
        what: String,
        /// Every place looked at.
        looked: Vec<PathBuf>,
        /// How to get it.
        help: String,
    },
    /// A file or folder that is there, but not what its name promises.
    #[error("{path}: expected {expected}, found {found}")]
    #[diagnostic(help("{help}"))]
    Malformed {
        /// The file, or `archive.tar.gz: member`.
        path: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
        /// What to do about it.
        help: String,
    },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A server that cannot be reached, or does not give what is asked for.
    #[error("{address}: {problem}")]
    #[diagnostic(help("{help}"))]
    Network {
        /// What was asked for.
        address: String,
        /// What went wrong.
        problem: String,
        /// What to do about it.
        help: String,
    },
    /// Another process is at work there.
    #[error("another process is already downloading into {folder}")]
    #[diagnostic(help("wait until it has finished"))]
    Busy {
        /// The folder.
        folder: String,
    },
    /// A combination of options that means nothing.
    #[error("{what}")]
    #[diagnostic(help("{help}"))]
    Impossible {
        /// The combination.
        what: String,
        /// What to do instead.
        help: String,
    },
}

impl crate::Classified for DataError {
    fn class(&self) -> crate::ErrorClass {
        match self {
            Self::Impossible { .. } | Self::UnknownName { .. } => crate::ErrorClass::Usage,
            _ => crate::ErrorClass::Data,
        }
    }
}

impl DataError {
    /// A [`DataError::Malformed`] whose remedy is a fresh copy of the file.
    pub(crate) fn malformed(
        path: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Malformed {
            path: path.into(),
            expected: expected.into(),
            found: found.into(),
            help: "the file is damaged or is not what its name says: remove it and download it again".into(),
        }
    }

    /// A function that wraps a system error with the path it happened at.
    pub(crate) fn io(path: impl AsRef<std::path::Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().display().to_string();
        move |source| Self::Io { path, source }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
