//! A task: one unit of work with an identity, carried out once and kept in the store.

use crate::data::DataName;
use crate::training::{NetworkRef, Recipe};
use serde::{Deserialize, Serialize};

/// What can be carried out. Its hash is its identity, and the name of its folder in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", content = "recipe", rename_all = "kebab-case")]
pub enum Task {
    /// Train a network.
    Train(Recipe),
}

impl Task {
    /// The identity: 16 hexadecimal digits.
    pub fn hash(&self) -> String {
        match self {
            Self::Train(recipe) => recipe.hash(),
        }
    }

    /// The networks that must be there before.
    pub fn needs(&self) -> Vec<&NetworkRef> {
        match self {
            Self::Train(recipe) => recipe.objective.frozen().into_iter().collect(),
        }
    }

    /// The data set that it works on.
    pub fn data(&self) -> &DataName {
        match self {
            Self::Train(recipe) => &recipe.data.name,
        }
    }

    /// Its seed.
    pub fn seed(&self) -> u64 {
        match self {
            Self::Train(recipe) => recipe.seed,
        }
    }

    /// Steps or epochs that progress is counted in.
    pub fn length(&self) -> usize {
        match self {
            Self::Train(recipe) => recipe.epochs,
        }
    }
}
