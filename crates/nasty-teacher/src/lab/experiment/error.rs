//! Why an experiment cannot be had, or has no plan.

use crate::data::DataError;
use crate::lab::overrides::OverrideError;
use crate::{Classified, ErrorClass};
use miette::Diagnostic;
use std::path::PathBuf;

/// An experiment that cannot be had.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ExperimentError {
    /// Neither a file nor a shipped experiment.
    #[error("no file and no experiment is called `{name}`")]
    #[diagnostic(help("did you mean `{nearest}`? `nasty experiments` lists all"))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The shipped one with the nearest name.
        nearest: String,
    },
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// The file or experiment.
        origin: String,
        /// Where and why.
        message: String,
    },
    /// A key that no experiment has.
    #[error("{origin}: no key `{key}` in an experiment")]
    #[diagnostic(help("did you mean `{nearest}`?"))]
    Key {
        /// The file or experiment.
        origin: String,
        /// Its path.
        key: String,
        /// The nearest known key.
        nearest: String,
    },
    /// A value that does not fit.
    #[error("{origin}: `{key}`: {reason}")]
    Value {
        /// The file or experiment.
        origin: String,
        /// The key's path.
        key: String,
        /// Why not.
        reason: String,
    },
    /// A change that is not of the form KEY=VALUE.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Form(OverrideError),
    /// A recipe of the experiment.
    #[error("{origin}: {place}")]
    Recipe {
        /// The file or experiment.
        origin: String,
        /// The table with the change, such as `student.recipe`.
        place: String,
        /// What is wrong with it.
        #[source]
        source: Box<OverrideError>,
        /// What to do about it.
        #[help]
        help: Option<String>,
    },
    /// The experiment as a whole.
    #[error("{origin}: this experiment cannot run: {problem}")]
    Impossible {
        /// The file or experiment.
        origin: String,
        /// Why.
        problem: String,
    },
}

impl Classified for ExperimentError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Usage
    }
}

/// Why an experiment has no plan.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ResolveError {
    /// Its file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Experiment(#[from] ExperimentError),
    /// Its data.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
}

impl Classified for ResolveError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Experiment(error) => error.class(),
            Self::Data(error) => error.class(),
        }
    }
}
