//! Why a task could not be run.

use super::misfit::Misfit;
use super::open_error::OpenError;
use super::store_error::StoreError;
use crate::analysis::AnalysisError;
use crate::data::DataError;
use crate::nets::NetError;
use crate::training::TrainError;
use crate::victim::VictimError;
use crate::{Classified, ErrorClass};
use miette::Diagnostic;

/// Why a task could not be carried out.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum JobError {
    /// The recipe cannot run.
    #[error("recipe {recipe} cannot run: {problem}")]
    Recipe {
        /// Its hash.
        recipe: String,
        /// Why.
        problem: String,
    },
    /// The data set.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
    /// A network.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Network(#[from] NetError),
    /// The store.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// The training.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Train(#[from] TrainError),
    /// An analysis.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Analysis(#[from] AnalysisError),
    /// A victim that cannot be opened.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Open(#[from] OpenError),
    /// A victim that does not fit the data.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Misfit(#[from] Misfit),
    /// A victim that does not answer.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Victim(#[from] VictimError),
    /// A bug.
    #[error("a bug stopped task {recipe}: {message}")]
    #[diagnostic(help("this is a fault of the program, not of your request; please report it"))]
    Panic {
        /// The task's hash.
        recipe: String,
        /// What the panic said.
        message: String,
    },
    /// The failure of an earlier try, as it was recorded.
    #[error("{message}")]
    Earlier {
        /// Its class.
        class: ErrorClass,
        /// Its message.
        message: String,
        /// What to do about it.
        #[help]
        help: Option<String>,
    },
}

impl Classified for JobError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Recipe { .. } => ErrorClass::Usage,
            Self::Data(error) => error.class(),
            Self::Network(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Train(error) => error.class(),
            Self::Analysis(error) => error.class(),
            Self::Open(error) => error.class(),
            Self::Misfit(_) => ErrorClass::Usage,
            Self::Victim(error) => error.class(),
            Self::Panic { .. } => ErrorClass::Bug,
            Self::Earlier { class, .. } => *class,
        }
    }
}
