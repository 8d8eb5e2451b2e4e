//! The class of an error. It alone determines the program's exit code and how a store treats a failed task; every error
//! type states its class beside its definition.

use miette::Diagnostic;
use serde::{Deserialize, Serialize};

/// The kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorClass {
    /// Wrong usage or configuration: what was asked for cannot be done.
    Usage,
    /// Bad data, a bad checkpoint, or a file system that refuses.
    Data,
    /// A loss, or what a network computes, is NaN or infinite: every repetition on the same numerics ends so.
    NotFinite,
    /// Stopped on request; the same call goes on.
    Stopped,
    /// A server that does not answer: the same call goes on once it does.
    Unavailable,
    /// A bug.
    Bug,
}

/// An error that states its class.
pub trait Classified: Diagnostic + Send + Sync + 'static {
    /// The class.
    fn class(&self) -> ErrorClass;
}
