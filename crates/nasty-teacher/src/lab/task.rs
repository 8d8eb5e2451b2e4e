//! A task: one unit of work with an identity, run once and kept in the store.

use super::ask_recipe::AskRecipe;
use super::cost::Estimate;
use crate::analysis::responses::ResponsesRecipe;
use crate::analysis::tsne::TsneRecipe;
use crate::attacks::data_free::DataFreeRecipe;
use crate::attacks::inversion::InversionRecipe;
use crate::attacks::thieves::ThiefRecipe;
use crate::data::DataName;
use crate::nets::{Architecture, NetError};
use crate::training::{NetworkRef, Recipe};
use serde::{Deserialize, Serialize};
use std::ops::Deref;

/// What every kind of task says of itself. One file under `tasks/` a kind.
pub trait TaskKind: Sync {
    /// The identity: 16 hexadecimal digits.
    fn hash(&self) -> String;
    /// The tasks that must be done before, by what they make: mostly networks.
    fn needs(&self) -> Vec<&NetworkRef>;
    /// The network that it makes, under its own hash.
    fn makes(&self) -> Option<Architecture> {
        None
    }
    /// The data set that it works on.
    fn data(&self) -> &DataName;
    /// Its seed.
    fn seed(&self) -> u64;
    /// Epochs that progress is counted in.
    fn length(&self) -> usize {
        1
    }
    /// What is impossible about it, with what to change; `None` if it can run.
    fn problem(&self) -> Option<String>;
    /// Adds what it costs to `estimate`.
    ///
    /// # Errors
    /// [`NetError`] if a network cannot be built for its data set.
    fn cost(&self, estimate: &mut Estimate<'_>) -> Result<(), NetError>;
}

/// The closed set of tasks: variant, recipe and name of each, for the macro `$to`.
macro_rules! every_task {
    ($to:ident) => {
        $to! {
            /// Train a network.
            Train(Recipe) = "train",
            /// Distil a network without data.
            DataFree(DataFreeRecipe) = "data-free",
            /// Pull images out of a network.
            Inversion(InversionRecipe) = "inversion",
            /// Map a network's features or logits.
            Embedding(TsneRecipe) = "embedding",
            /// Show networks' answers to test images.
            Responses(ResponsesRecipe) = "responses",
            /// Ask a victim about images.
            Ask(AskRecipe) = "ask",
            /// Train a clone on a victim's answers.
            Thief(ThiefRecipe) = "thief",
        }
    };
}
pub(super) use every_task;

/// The tasks as an enum.
macro_rules! task_enum {
    ($($(#[$doc:meta])* $variant:ident($recipe:ty) = $kind:literal,)+) => {
        /// What can be carried out. Its hash is its identity, and the name of its folder in the store.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "task", content = "recipe")]
        pub enum Task {
            $($(#[$doc])* #[serde(rename = $kind)] $variant($recipe),)+
        }

        impl Task {
            /// The kinds of task, by their names in files.
            pub const KINDS: &[&str] = &[$($kind),+];

            /// The name of its kind.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $kind,)+
                }
            }
        }

        impl Deref for Task {
            type Target = dyn TaskKind;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(Self::$variant(recipe) => recipe,)+
                }
            }
        }
    };
}

every_task!(task_enum);
