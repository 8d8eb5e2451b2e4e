//! Why a network or a victim cannot be used with a data set.

use crate::data::ClassMismatch;
use crate::nets::{Input, NetError};
use miette::Diagnostic;

/// Why a network cannot be used with a data set.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Misfit {
    /// The images are of another shape.
    #[error("the network takes images of {}×{side}×{side}, the data set has {found}", network.channels, side = network.side)]
    #[diagnostic(help(
        "give the data set that the network was trained for; data.side=N resizes the images of a folder"
    ))]
    Input {
        /// What the network takes.
        network: Input,
        /// What the data set has.
        found: String,
    },
    /// The classes are others.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Classes(#[from] ClassMismatch),
    /// The network cannot be built in another order.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Network(#[from] NetError),
}
