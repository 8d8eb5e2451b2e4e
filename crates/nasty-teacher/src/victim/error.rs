//! Why a victim does not answer.

use crate::{Classified, ErrorClass};
use miette::Diagnostic;
use std::path::{Path, PathBuf};

/// A victim that cannot be opened, or that does not answer a request.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum VictimError {
    /// Images of another shape than the victim takes.
    #[error("the victim takes images of {expected}, found images of {found}")]
    #[diagnostic(help("resize the images, or take another data set"))]
    Shape {
        /// Height × width × channels that it takes.
        expected: String,
        /// Those of the request.
        found: String,
    },
    /// An interface that the victim does not have.
    #[error("the victim cannot serve {interface}: {reason}")]
    Interface {
        /// The interface.
        interface: String,
        /// Why not.
        reason: String,
    },
    /// A defence that cannot serve an answer.
    #[error("the defence {defence} cannot serve the answer to image {image} of the request: {problem}")]
    Defence {
        /// The defences, as text.
        defence: String,
        /// The image's place in the request.
        image: usize,
        /// Why not.
        problem: String,
    },
    /// Answers that are not recorded.
    #[error("{}: the answers to {missing} of {asked} images are missing; those to {known} images are recorded", path.display())]
    #[diagnostic(help("{help}"))]
    Missing {
        /// Where the answers are recorded.
        path: PathBuf,
        /// Images of the request without an answer.
        missing: usize,
        /// Images of the request.
        asked: usize,
        /// Images whose answers are recorded.
        known: usize,
        /// What to do.
        help: String,
    },
    /// A file that is not a classifier, or not one that can be computed here.
    #[error("{}: {problem}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// An answer that is none.
    #[error("{victim} does not answer: {problem}")]
    Answer {
        /// The victim: a file or an address.
        victim: String,
        /// What is wrong.
        problem: String,
    },
    /// A model whose process ended.
    #[error("{victim} does not answer: {problem}")]
    #[diagnostic(help("its process is started again when it is asked again: try the same command again"))]
    Ended {
        /// The model's file.
        victim: String,
        /// How its process ended.
        problem: String,
        /// Seconds after which it can be asked again.
        retry_after: u64,
    },
    /// A server that does not answer.
    #[error("{address} does not answer: {problem}")]
    #[diagnostic(help("answers so far are kept: the same command goes on"))]
    Unavailable {
        /// The server.
        address: String,
        /// Why.
        problem: String,
        /// Whether it may have answered, and counted, what was asked.
        sent: bool,
        /// What kind of absence it is.
        outage: Outage,
    },
    /// A server that cannot be asked.
    #[error("{address}: {problem}")]
    Endpoint {
        /// The server.
        address: String,
        /// Why.
        problem: String,
    },
    /// Answers that cannot be kept.
    #[error("the answers of {victim} cannot be kept: {problem}")]
    Keeping {
        /// The victim's identity.
        victim: String,
        /// Why not.
        problem: String,
    },
    /// The file system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: expected {expected}, found {found}", path.display())]
    #[diagnostic(help(
        "recorded answers are numpy arrays, logits or probabilities [images, classes], and index [images] or sha256 [images, 32]; or a table \
         with a column sha256 or index and one column a class"
    ))]
    Format {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
    },
}

/// How a server does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// It says that it is busy (status 429 or 503), and perhaps when to ask again.
    Busy {
        /// Seconds until then.
        retry_after: Option<u64>,
    },
    /// It does not answer in time.
    Slow,
    /// It cannot be reached, or the connection broke.
    Unreachable,
}

impl Classified for VictimError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Interface { .. } => ErrorClass::Usage,
            Self::Unavailable { .. } => ErrorClass::Unavailable,
            Self::Shape { .. }
            | Self::Defence { .. }
            | Self::Keeping { .. }
            | Self::Model { .. }
            | Self::Endpoint { .. }
            | Self::Answer { .. }
            | Self::Ended { .. }
            | Self::Missing { .. }
            | Self::Io { .. }
            | Self::Format { .. } => ErrorClass::Data,
        }
    }
}

impl VictimError {
    pub(super) fn format(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), expected: expected.into(), found: found.into() }
    }
}
