//! Why an audit's report cannot be used.

use crate::{Classified, ErrorClass};
use miette::Diagnostic;
use std::path::PathBuf;

/// A report or a condition that is not what it should be.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum AuditError {
    /// The file system refused.
    #[error("cannot read {}", path.display())]
    #[diagnostic(help("expected the report.json that an audit wrote, or its folder"))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is not an audit's report.
    #[error("{}: not an audit's report: {problem}", path.display())]
    #[diagnostic(help("expected the report.json that an audit wrote; audit again if it was changed"))]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// A report of another version.
    #[error("{}: the report has schema {found}, expected {expected}", path.display())]
    #[diagnostic(help("audit again with this version: finished clones are not trained again"))]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version that is read here.
        expected: u32,
    },
    /// A condition that cannot be read.
    #[error("the condition `{text}` cannot be read at character {at}: {problem}")]
    #[diagnostic(help("{help}"))]
    Condition {
        /// The condition.
        text: String,
        /// 1-based place in it.
        at: usize,
        /// What was expected and what was found.
        problem: String,
        /// What can stand in a condition.
        help: String,
    },
}

impl Classified for AuditError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Condition { .. } => ErrorClass::Usage,
            Self::Io { .. } | Self::Format { .. } | Self::Schema { .. } => ErrorClass::Data,
        }
    }
}
