//! Errors of importing a file.

use std::path::PathBuf;

use crate::nets::NetError;

/// Why a file was not imported. Nothing has been written then.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ImportError {
    /// The file cannot be read, or the network cannot be built or written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Net(#[from] NetError),
    /// The file is damaged, or no file of weights at all.
    #[error("{} cannot be read as a {kind}: {problem}", path.display())]
    #[diagnostic(help(
        "expected a file of torch.save (zip, legacy or tar) or safetensors; if the download was cut off, get the file again"
    ))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What it was read as.
        kind: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The answers to compare the network with cannot be read.
    #[error("{} cannot be compared with: {problem}", path.display())]
    #[diagnostic(help("expected an archive of numpy.savez with `images` and with `logits` or `labels`"))]
    NoComparison {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A whole file that holds no weights this program reads.
    #[error("{} is {what}", path.display())]
    #[diagnostic(help("{help}"))]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
        /// What to do.
        help: String,
    },
    /// The pickle would run something harmful if it were loaded by Python.
    #[error("the pickle in {} calls `{name}`, which no file of weights needs; it was not executed, and the file is refused", path.display())]
    #[diagnostic(help(
        "do not load the file in Python: loading would make the call; if the file is your own, save only model.state_dict()"
    ))]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The Python name.
        name: String,
    },
    /// The tensors would be far larger than the file.
    #[error("the tensors of {} claim {claimed} bytes, but the file has only {length}", path.display())]
    #[diagnostic(help("the file is damaged or made to exhaust memory"))]
    Inflated {
        /// The file.
        path: PathBuf,
        /// Bytes that the tensors would have.
        claimed: u128,
        /// Bytes of the file.
        length: u64,
    },
    /// There are no weights under the key.
    #[error("{} has no floating-point tensors{}", path.display(), under(.key))]
    #[diagnostic(help("{}", keys_help(.keys)))]
    NoTensors {
        /// The file.
        path: PathBuf,
        /// Where they were looked for.
        key: Option<String>,
        /// Keys at the top that hold tensors.
        keys: Vec<String>,
    },
    /// Several keys hold a state dictionary.
    #[error("{} holds several networks: {}", path.display(), .keys.join(", "))]
    #[diagnostic(help("say which one is meant"))]
    SeveralStateDicts {
        /// The file.
        path: PathBuf,
        /// Their keys.
        keys: Vec<String>,
    },
    /// No architecture has these tensors.
    #[error("the tensors of {} match no architecture of this program; the nearest is {nearest}, where {matched} match:{differences}", path.display())]
    #[diagnostic(help("{help}"))]
    Unrecognised {
        /// The file.
        path: PathBuf,
        /// The architecture with the most matching tensors.
        nearest: String,
        /// How many tensors match it in name and shape.
        matched: usize,
        /// What is missing, left over and of another shape.
        differences: String,
        /// What the network probably is, and what to do.
        help: String,
    },
    /// The tensors do not fit the architecture that was asked for.
    #[error("the tensors of {} do not fit {architecture}: {matched} match, but:{differences}", path.display())]
    #[diagnostic(help("without an architecture it is recognised from the tensors"))]
    WrongArchitecture {
        /// The file.
        path: PathBuf,
        /// The architecture asked for.
        architecture: String,
        /// How many tensors match it in name and shape.
        matched: usize,
        /// What is missing, left over and of another shape.
        differences: String,
    },
    /// More than one architecture has exactly these tensors.
    #[error("the tensors of {} fit several networks: {}", path.display(), .candidates.join(", "))]
    #[diagnostic(help("choose one by its architecture and image side"))]
    Ambiguous {
        /// The file.
        path: PathBuf,
        /// The networks.
        candidates: Vec<String>,
    },
    /// The class count or side asked for is not that of the tensors.
    #[error("{} holds a network with {found} {what}, but {wanted} were requested", path.display())]
    #[diagnostic(help("without a number, the file's own is used"))]
    Other {
        /// The file.
        path: PathBuf,
        /// `classes`.
        what: &'static str,
        /// In the file.
        found: usize,
        /// Asked for.
        wanted: usize,
    },
    /// A running variance is below zero.
    #[error("the tensor `{name}` of {} holds {value} at element {index}; a variance cannot be negative", path.display())]
    #[diagnostic(help("the file is damaged: get or save it again"))]
    NegativeVariance {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The element.
        index: usize,
        /// Its value.
        value: f32,
    },
    /// The network's answers are not the known ones.
    #[error("the network in {} does not give the expected answers: {figures}", path.display())]
    #[diagnostic(help(
        "its tensors have the right shapes, but its strides, pooling or normalisation differ from this program's; nothing was written"
    ))]
    Refuted {
        /// The file.
        path: PathBuf,
        /// How the answers differ.
        figures: String,
    },
    /// The mean, the standard deviation or the names of the classes do not fit the network.
    #[error("expected {expected}, found {found}")]
    #[diagnostic(help("{help}"))]
    Description {
        /// What the network needs.
        expected: String,
        /// What was given.
        found: String,
        /// What to do.
        help: &'static str,
    },
    /// The folder to write to has something in it.
    #[error("{} is not empty; nothing is overwritten", folder.display())]
    #[diagnostic(help("give a new folder"))]
    Occupied {
        /// The folder.
        folder: PathBuf,
    },
}

impl crate::Classified for ImportError {
    fn class(&self) -> crate::ErrorClass {
        match self {
            Self::Description { .. } | Self::Occupied { .. } => crate::ErrorClass::Usage,
            _ => crate::ErrorClass::Data,
        }
    }
}

fn under(key: &Option<String>) -> String {
    key.as_ref().map_or_else(String::new, |key| format!(" under `{key}`"))
}

fn keys_help(keys: &[String]) -> String {
    if keys.is_empty() {
        "expected is a state dictionary: model.state_dict() saved with torch.save or safetensors".into()
    } else {
        format!("there are tensors under {}; choose one", keys.join(", "))
    }
}
