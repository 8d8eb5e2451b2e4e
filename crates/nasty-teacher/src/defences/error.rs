//! Errors of defences: in their text, their inputs or the given row.

/// An error about a defence.
#[derive(Clone, Debug, PartialEq, thiserror::Error, miette::Diagnostic)]
pub enum DefenceError {
    /// The name is none of the known ones.
    #[error("no defence is called `{name}`; the nearest name is `{nearest}`")]
    #[diagnostic(help("the defences are: {known}"))]
    Unknown {
        /// The name given.
        name: String,
        /// The known name most like it.
        nearest: &'static str,
        /// Every known name.
        known: String,
    },
    /// The defence has no such parameter.
    #[error("`{defence}` has no parameter `{key}`: expected {usage}")]
    UnknownParameter {
        /// The defence's name.
        defence: &'static str,
        /// The key given, or the value of one parameter too many.
        key: String,
        /// How the defence is written.
        usage: String,
    },
    /// A parameter's value is missing, given twice, not a number or out of range.
    #[error("`{key}` of `{defence}`: expected {expected}, found {found}")]
    Value {
        /// The defence's name.
        defence: &'static str,
        /// The parameter's name.
        key: &'static str,
        /// What it takes.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The defence needs something beside the served row, and was not given it.
    #[error("`{defence}` needs {what}, found none")]
    #[diagnostic(help("{how}"))]
    MissingInput {
        /// The defence's name.
        defence: &'static str,
        /// What it needs.
        what: &'static str,
        /// Where that comes from.
        how: &'static str,
    },
    /// The defence needs the owner's secret.
    #[error("`{defence}` needs the owner's secret, found none")]
    #[diagnostic(help(
        "the secret is a file of random bytes that only the owner has; with the same file the same image gets the same answer"
    ))]
    NoSecret {
        /// The defence's name.
        defence: &'static str,
    },
    /// An input has another size than the served row, or holds numbers that cannot be used.
    #[error("{what} for `{defence}`: expected {expected}, found {found}")]
    BadInput {
        /// The defence's name.
        defence: &'static str,
        /// Which input.
        what: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The defence cannot be part of an ONNX graph.
    #[error("`{defence}` cannot be part of an ONNX graph")]
    #[diagnostic(help("these can: {expressible}"))]
    NotInGraph {
        /// The defence's name.
        defence: &'static str,
        /// The names of those that can.
        expressible: String,
    },
    /// What the victim answered is no row of logits or probabilities.
    #[error("a served row must be {expected}, found {found}")]
    Row {
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
}
