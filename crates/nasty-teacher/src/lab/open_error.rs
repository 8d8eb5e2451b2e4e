//! Why a victim cannot be opened.

use super::misfit::Misfit;
use super::store_error::StoreError;
use crate::data::{DataError, DataName};
use crate::defences::DefenceError;
use crate::nets::NetError;
use crate::victim::VictimError;
use crate::{Classified, ErrorClass};
use miette::Diagnostic;
use std::path::PathBuf;

/// Bytes of a secret, at least: a shorter one can be guessed.
pub(super) const SHORTEST_SECRET: usize = 16;

/// Why a victim cannot be opened.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum OpenError {
    /// The store.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// A network's files.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Network(#[from] NetError),
    /// The victim.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Victim(#[from] VictimError),
    /// Its defences.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Defence(#[from] DefenceError),
    /// The owner's images.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
    /// The secret.
    #[error("{}: expected a secret of at least {SHORTEST_SECRET} bytes, found {found}", path.display())]
    #[diagnostic(help(
        "`head -c 32 /dev/urandom > FILE` makes one; keep the file, or all keyed answers change"
    ))]
    Secret {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// Said how to ask a victim that is not asked so: what would have no effect is an error.
    #[error("{reference} {why}")]
    #[diagnostic(help("leave out {}", unused.join(", ")))]
    AskedOtherwise {
        /// The victim.
        reference: String,
        /// What it is.
        why: &'static str,
        /// What was said in vain.
        unused: Vec<&'static str>,
    },
    /// A defence without the owner's images that it needs.
    #[error("`{defence}` needs the owner's own images, found none")]
    #[diagnostic(help("name the data set that the victim was trained on (`nasty serve`: --owner-data)"))]
    NoOwnerData {
        /// The defence.
        defence: &'static str,
    },
    /// One of the owner's other networks takes other images than the victim, or tells other classes apart.
    #[error("{reference}, which the defences need, does not fit the victim")]
    OwnerNetwork {
        /// The network.
        reference: Box<str>,
        /// Why not.
        #[source]
        #[diagnostic_source]
        source: Misfit,
    },
    /// A network whose weights are to be moved, and which has none here.
    #[error(
        "{reference}: expected a network of this program, whose weights the defence moves, found another victim"
    )]
    #[diagnostic(help("give a run, an imported network, or the name of an architecture"))]
    NoWeights {
        /// What was given.
        reference: String,
    },
    /// A network without a slope: its answers do not depend on its weights, or are not finite.
    #[error("{reference}: the defence needs the slope of its answers, which is 0 or not finite")]
    #[diagnostic(help("give another network"))]
    Flat {
        /// The network.
        reference: String,
    },
    /// The owner's images are of other classes or sizes than the victim takes.
    #[error("the owner's data set {data} does not fit the victim")]
    OwnerData {
        /// Its name.
        data: DataName,
        /// Why not.
        #[source]
        #[diagnostic_source]
        misfit: Misfit,
    },
}

impl Classified for OpenError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Store(error) => error.class(),
            Self::Network(error) => error.class(),
            Self::Victim(error) => error.class(),
            Self::Data(error) => error.class(),
            Self::AskedOtherwise { .. }
            | Self::Defence(_)
            | Self::NoOwnerData { .. }
            | Self::NoWeights { .. }
            | Self::OwnerData { .. }
            | Self::OwnerNetwork { .. } => ErrorClass::Usage,
            Self::Secret { .. } | Self::Flat { .. } => ErrorClass::Data,
        }
    }
}
