//! What a thief is.

use super::forger::Forger;
use super::loot::Loot;
use super::maker::Maker;
use crate::training::{Loss, NetworkRef, Objective};
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

    /// Whether it also learns from images that nobody is asked about.
    fn wants_unlabelled(&self) -> bool {
        false
    }

    /// How it makes images of its own, if it does.
    fn maker(&self) -> Option<&dyn Maker> {
        None
    }

    /// How it steals without any image, if it does.
    fn forger(&self) -> Option<&dyn Forger> {
        None
    }

    /// What is impossible about its settings; `None` if it can steal.
    fn problem(&self) -> Option<String> {
        // Its own settings are the objective's; any identity will do for the question.
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
