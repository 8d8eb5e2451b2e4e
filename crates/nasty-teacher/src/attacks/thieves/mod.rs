//! Thieves: ways to train a clone from a victim's answers, one file each. A thief makes targets of the answers and has a
//! training objective; everything else (images, student, initial weights, steps, schedule, augmentation) is the same for all
//! of them.
//!
//! To add one, write its file, an implementation of [`Method`], and add a line to the list in `thieves!` below. Which thieves
//! an audit tries is the battery's matter.

mod alone;
mod class_mean;
mod dist;
mod dkd;
mod hard_label;
mod htc;
mod kd;
mod label_smoothing;
mod linear_recovery;
mod loot;
mod query_averaging;
mod recipe;
mod table_recovery;
#[cfg(test)]
mod tests;

pub use loot::Loot;
pub use recipe::{Labels, THIEF_FORMAT, ThiefRecipe};

use crate::training::{NetworkRef, Objective};
use serde::{Deserialize, Serialize};

/// What of a victim's answers a thief uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// Nothing: a floor that needs no victim.
    Nothing,
    /// The predicted class.
    PredictedClass,
    /// All numbers.
    Probabilities,
}

/// What a thief is.
pub trait Method {
    /// Its name in reports; it stays the same over versions.
    fn name(&self) -> &'static str;

    /// What it knows beside its images and the answers to them, in a few words.
    fn knows(&self) -> &'static str;

    /// What of the answers it uses.
    fn signal(&self) -> Signal {
        Signal::Probabilities
    }

    /// Its settings that are chosen from a grid, by name.
    fn settings(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// Answers that it asks for each image.
    fn answers(&self) -> usize {
        1
    }

    /// Whether it first needs a clone that learnt the victim's predicted classes.
    fn needs_prior(&self) -> bool {
        false
    }

    /// What is impossible about its settings; `None` if it can steal.
    fn problem(&self) -> Option<String> {
        // Its own settings are the objective's; any identity will do for the question.
        use crate::training::Loss;
        self.objective(NetworkRef("0".repeat(16))).problem()
    }

    /// What the student minimises, on the answers that are called `answers`.
    fn objective(&self, answers: NetworkRef) -> Objective;

    /// What the student is taught, as log-rows `[images, classes]`; by default the answers as they are.
    ///
    /// # Errors
    /// Why these answers are of no use to it.
    fn targets(&self, loot: &Loot<'_>) -> Result<Vec<f32>, String> {
        Ok(loot.log_rows())
    }
}

/// The closed set of thieves: `Name` is the struct of that name, called in kebab case in recipes.
macro_rules! thieves {
    ($($(#[$doc:meta])* $module:ident :: $name:ident),* $(,)?) => {
        $(pub use $module::$name;)*

        /// A thief with its settings.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        pub enum Thief {
            $($(#[$doc])* $name($name),)*
        }

        impl std::ops::Deref for Thief {
            type Target = dyn Method;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(Self::$name(thief) => thief,)*
                }
            }
        }
    };
}

thieves! {
    /// Labels of its own, no victim.
    alone::Alone,
    /// Smoothed labels of its own, no victim.
    label_smoothing::LabelSmoothing,
    /// The predicted classes.
    hard_label::HardLabel,
    /// Knowledge distillation.
    kd::Kd,
    /// The mean answer of each class.
    class_mean::ClassMean,
    /// The label's share and the other classes' shares apart.
    dkd::Dkd,
    /// Correlations instead of probabilities.
    dist::Dist,
    /// A high temperature for the answers only.
    htc::Htc,
    /// Rows looked up in a table of what the known defence serves.
    table_recovery::TableRecovery,
    /// Rows recovered by a linear regression.
    linear_recovery::LinearRecovery,
    /// The mean of several answers to each image.
    query_averaging::QueryAveraging,
}
