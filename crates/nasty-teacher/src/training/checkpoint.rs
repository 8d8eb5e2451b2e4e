//! The state from which an interrupted run goes on, in one safetensors file, written whole or not at all.

use super::state_file;
use super::trainer::{EpochRow, Partial};
use crate::nets::NamedTensor;
use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Everything that the rest of a run depends on.
pub struct State {
    /// The network as it is.
    pub network: Vec<NamedTensor>,
    /// The network of the best epoch so far.
    pub best: Option<Vec<NamedTensor>>,
    /// The optimiser's record, as Burn writes it.
    pub optimiser: Vec<u8>,
    /// Where the run stands.
    pub position: Position,
}

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// 0-based epoch under way.
    pub epoch: usize,
    /// Batches of it that are done.
    pub batch: usize,
    /// Sums over those batches.
    pub partial: Partial,
    /// Finished epochs.
    pub rows: Vec<EpochRow>,
    /// 0-based best epoch so far.
    pub best_epoch: Option<usize>,
    /// Seconds of work so far.
    pub seconds: f64,
}

/// A state that cannot be written or read.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StateError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a state of this recipe.
    #[error("{path}: expected the saved state of recipe {recipe}, found {found}")]
    #[diagnostic(help("delete this file to start the run again from its first epoch"))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The recipe's hash.
        recipe: String,
        /// What is wrong.
        found: String,
    },
}

impl crate::Classified for StateError {
    fn class(&self) -> crate::ErrorClass {
        crate::ErrorClass::Data
    }
}

impl StateError {
    pub(crate) fn unreadable(path: &Path, recipe: &str, found: String) -> Self {
        Self::Unreadable { path: path.to_owned(), recipe: recipe.to_owned(), found }
    }
}

/// Saves `state` of the recipe with hash `recipe`.
pub fn save(path: &Path, recipe: &str, state: &State) -> Result<(), StateError> {
    let mut groups = vec![("network", state.network.as_slice())];
    groups.extend(state.best.as_deref().map(|best| ("best", best)));
    state_file::write(path, recipe, &state.position, &groups, &[("optimiser", &state.optimiser)])
}

/// Loads the state of the recipe with hash `recipe`; `None` if there is no file.
/// `like` gives the names and shapes, in order, that the network must have.
pub fn load(path: &Path, recipe: &str, like: &[NamedTensor]) -> Result<Option<State>, StateError> {
    let Some(saved) = state_file::read::<Position>(path, recipe)? else { return Ok(None) };
    Ok(Some(State {
        network: saved.group("network", like)?,
        best: saved.position.best_epoch.map(|_| saved.group("best", like)).transpose()?,
        optimiser: saved.record("optimiser")?,
        position: saved.position,
    }))
}
