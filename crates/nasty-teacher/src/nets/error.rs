//! Errors of networks and their files.

use std::path::{Path, PathBuf};

/// An error about an architecture, a state dictionary or a file of weights.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum NetError {
    /// The name is none of the known ones.
    #[error("no architecture is called `{name}`; the nearest name is `{nearest}`")]
    #[diagnostic(help("`nasty networks` lists all names"))]
    UnknownArchitecture {
        /// The name given.
        name: String,
        /// The known name most like it.
        nearest: String,
    },
    /// The architecture cannot be built for this input or class count.
    #[error("{architecture} takes {allowed}, found {found}")]
    Unbuildable {
        /// The architecture's name.
        architecture: String,
        /// What it takes.
        allowed: String,
        /// What was asked for.
        found: String,
    },
    /// A state dictionary does not fit the network.
    #[error("the tensors do not fit {architecture}:{}", listing(.missing, .left_over, .misshapen))]
    #[diagnostic(help("the architecture, the class count or the input size may be another one"))]
    State {
        /// The network's architecture.
        architecture: String,
        /// Names that the network has and the dictionary has not.
        missing: Vec<String>,
        /// Names that the dictionary has and the network has not.
        left_over: Vec<String>,
        /// Tensors of another shape: name, expected, found.
        misshapen: Vec<String>,
    },
    /// A stage that a network does not have, or after which nothing is left to train.
    #[error("{architecture} has no stage `{stage}` with something to train behind it")]
    #[diagnostic(help(
        "its stages are {stages}; the names of their tensors can be longer, such as layer2.0"
    ))]
    Stage {
        /// The network's architecture.
        architecture: String,
        /// What was asked for.
        stage: String,
        /// The stages that it has.
        stages: String,
    },
    /// A tensor holds NaN or an infinity.
    #[error("the tensor `{name}` holds {value} at element {index}; weights must be finite")]
    NotFinite {
        /// The tensor's name.
        name: String,
        /// The first such element, in row-major order.
        index: usize,
        /// Its value.
        value: f32,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not {expected}: {found}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What is wrong with it.
        found: String,
    },
}

impl crate::Classified for NetError {
    fn class(&self) -> crate::ErrorClass {
        match self {
            Self::Stage { .. } => crate::ErrorClass::Usage,
            _ => crate::ErrorClass::Data,
        }
    }
}

impl NetError {
    pub(crate) fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Io { action: "read", path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path, source: std::io::Error) -> Self {
        Self::Io { action: "write", path: path.to_owned(), source }
    }

    pub(crate) fn format(path: &Path, expected: &'static str, found: impl std::fmt::Display) -> Self {
        Self::Format { path: path.to_owned(), expected, found: found.to_string() }
    }
}

/// The three lists, each cut to a length that a person reads.
pub(super) fn listing(missing: &[String], left_over: &[String], misshapen: &[String]) -> String {
    const SHOWN: usize = 5;
    [("missing", missing), ("left over", left_over), ("of another shape", misshapen)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| {
            let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if names.len() > SHOWN { ", …" } else { "" };
            format!("\n  {} {what}: {shown}{more}", names.len())
        })
        .collect()
}
