//! A task: one unit of work with an identity, carried out once and kept in the store.

use crate::analysis::responses::ResponsesRecipe;
use crate::analysis::tsne::TsneRecipe;
use crate::attacks::data_free::DataFreeRecipe;
use crate::attacks::inversion::InversionRecipe;
use crate::data::DataName;
use crate::training::{Loss, NetworkRef, Recipe};
use serde::{Deserialize, Serialize};

/// What can be carried out. Its hash is its identity, and the name of its folder in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", content = "recipe", rename_all = "kebab-case")]
pub enum Task {
    /// Train a network.
    Train(Recipe),
    /// Distil a network without data.
    DataFree(DataFreeRecipe),
    /// Pull images out of a network.
    Inversion(InversionRecipe),
    /// Map a network's features or logits.
    Embedding(TsneRecipe),
    /// Show networks' answers to test images.
    Responses(ResponsesRecipe),
}

impl Task {
    /// The identity: 16 hexadecimal digits.
    pub fn hash(&self) -> String {
        match self {
            Self::Train(recipe) => recipe.hash(),
            Self::DataFree(recipe) => recipe.hash(),
            Self::Inversion(recipe) => recipe.hash(),
            Self::Embedding(recipe) => recipe.hash(),
            Self::Responses(recipe) => recipe.hash(),
        }
    }

    /// The networks that must be there before.
    pub fn needs(&self) -> Vec<&NetworkRef> {
        match self {
            Self::Train(recipe) => recipe.objective.victim().into_iter().collect(),
            Self::DataFree(recipe) => vec![&recipe.teacher],
            Self::Inversion(recipe) => [&recipe.network].into_iter().chain(&recipe.judge).collect(),
            Self::Embedding(recipe) => vec![&recipe.network],
            Self::Responses(recipe) => recipe.networks.iter().collect(),
        }
    }

    /// The data set that it works on.
    pub fn data(&self) -> &DataName {
        match self {
            Self::Train(recipe) => &recipe.data.name,
            Self::DataFree(recipe) => &recipe.data.name,
            Self::Inversion(recipe) => &recipe.data.name,
            Self::Embedding(recipe) => &recipe.data.name,
            Self::Responses(recipe) => &recipe.data.name,
        }
    }

    /// Its seed.
    pub fn seed(&self) -> u64 {
        match self {
            Self::Train(recipe) => recipe.seed,
            Self::DataFree(recipe) => recipe.seed,
            Self::Inversion(recipe) => recipe.seed,
            Self::Embedding(recipe) => recipe.seed,
            Self::Responses(recipe) => recipe.seed,
        }
    }

    /// Epochs that progress is counted in.
    pub fn length(&self) -> usize {
        match self {
            Self::Train(recipe) => recipe.epochs,
            Self::DataFree(recipe) => recipe.epochs,
            Self::Inversion(recipe) => recipe.steps.div_ceil(InversionRecipe::EPOCH),
            Self::Embedding(_) | Self::Responses(_) => 1,
        }
    }
}
