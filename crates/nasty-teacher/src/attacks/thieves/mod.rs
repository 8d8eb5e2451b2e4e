//! Thieves: ways to train a clone from a victim's answers, one file each. A thief makes targets of the answers and has a
//! training objective; everything else (images, student, initial weights, steps, schedule, augmentation) is the same for all
//! of them.
//!
//! To add one, write its file, an implementation of [`Method`], and add a line to the list in `thieves!` below. Which thieves
//! an audit tries is the battery's matter.

mod alone;
mod class_mean;
mod dfme;
mod dist;
mod dkd;
mod forger;
mod hard_label;
mod htc;
mod htc_symmetric;
mod jbda_tr;
mod kd;
mod label_smoothing;
mod linear_recovery;
mod loot;
mod maker;
mod method;
mod query_averaging;
mod recipe;
mod rotation;
mod skeptical;
mod table_recovery;
#[cfg(test)]
mod tests;

pub use forger::{CloneTraining, Extent, Forger, Forgery, Through};
pub use loot::Loot;
pub use maker::{Maker, Stage, seeds};
pub use method::{Method, Signal};
pub use recipe::{Labels, THIEF_FORMAT, ThiefRecipe};

use serde::{Deserialize, Serialize};

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
    /// Labels, and tempered answers with little weight.
    htc_symmetric::HtcSymmetric,
    /// A shallow exit imitates the answers.
    skeptical::Skeptical,
    /// Images turned by quarters beside the answers.
    rotation::Rotation,
    /// Images made of a few by its own clone.
    jbda_tr::JbdaTr,
    /// No images: those that a generator makes while the clone is trained.
    dfme::Dfme,
    /// Rows looked up in a table of what the known defence serves.
    table_recovery::TableRecovery,
    /// Rows recovered by a linear regression.
    linear_recovery::LinearRecovery,
    /// The mean of several answers to each image.
    query_averaging::QueryAveraging,
}
