//! What is known about a file before it is read, and where a side is known from.

use serde::Serialize;

use crate::nets::Architecture;

/// What is known about a file before it is read. All of it may be left out.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The architecture; else all are tried.
    pub architecture: Option<Architecture>,
    /// The class count, to be held against the file's.
    pub classes: Option<usize>,
    /// Side of the images, which most networks' tensors do not show.
    pub side: Option<usize>,
    /// Key or prefix of the state dictionary in the file, where there are several.
    pub key: Option<String>,
}

/// Where the side of the images is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The tensors show it.
    Read,
    /// It was asked for.
    Given,
    /// A description in the file or beside it says so.
    Described,
    /// The tensors fit several sides; CIFAR's or MNIST's was taken.
    Assumed,
}
