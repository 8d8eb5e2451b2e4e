//! A recipe: everything that determines a result, as plain data. Its canonical hash is its identity.

use super::objective::{Loss, Objective};
use super::optimiser::Optimiser;
use super::schedule::Schedule;
use super::start::Start;
use crate::data::{Augmentation, DataName, Framing};
use crate::nets::{Architecture, Precision};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Growing images grow by so many pixels.
const STEP: f64 = 4.0;

/// Version of the recipe's fields; part of its hash.
pub const RECIPE_FORMAT: u32 = 1;

/// Everything that decides what one training run gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// [`RECIPE_FORMAT`].
    pub format: u32,
    /// The images.
    pub data: DataRecipe,
    /// The network to train.
    #[cfg_attr(test, schemars(with = "String"))]
    pub architecture: Architecture,
    /// What it minimises.
    pub objective: Objective,
    /// How its weights are changed.
    pub optimiser: Optimiser,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// The learning rate's course.
    pub schedule: Schedule,
    /// Share of all steps over which the learning rate rises linearly.
    pub warmup: f64,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images a step; the last, partial batch of an epoch is kept.
    pub batch: usize,
    /// Random crop, flip and rotation of training images.
    pub augmentation: Augmentation,
    /// Largest ℓ2 norm of the whole gradient; larger ones are scaled down to it.
    pub clip_norm: Option<f64>,
    /// What the trained network's convolutions multiply; weights, statistics and losses are f32 either way.
    #[cfg_attr(test, schemars(with = "String"))]
    pub precision: Precision,
    /// Which epoch's weights are kept.
    #[serde(default)]
    pub keep: Keep,
    /// On which images the best epoch is chosen, and how accuracy is counted.
    pub parity: Parity,
    /// Decides initial weights, order, views and splits.
    pub seed: u64,
    /// Progressive resizing: share of the epochs over which training images grow from half their side to the full one, in
    /// steps of four pixels; 0: full from the start. At half the side, a step is a quarter of the work. For networks whose
    /// weights do not depend on the side.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub growing: f64,
    /// Weights to begin with: `start.network` and `start.freeze`; absent: random ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
}

fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

/// Which images a run trains on and which it holds out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// The data set.
    #[cfg_attr(test, schemars(with = "String"))]
    pub name: DataName,
    /// First 16 hexadecimal digits of the SHA-256 of all its images and labels.
    pub digest: String,
    /// What the pictures of a folder become: squares of this side, such as `224`; `256/224` resizes the shorter side to 256
    /// first.
    #[cfg_attr(test, schemars(with = "Option<usize>"))]
    pub side: Option<Framing>,
    /// Training images held out, stratified by class, to choose the epoch.
    pub validation: usize,
    /// Train on this many of the remaining images only (stratified).
    pub subset: Option<usize>,
}

/// Which epoch's weights are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// The one with the highest accuracy on the images that choose; the last one if there are none.
    #[default]
    Best,
    /// The last one. For a nasty teacher: undermining goes on while accuracy no longer rises, and an epoch that is chosen for
    /// its accuracy can be one from before it took hold.
    Last,
}

/// How the best epoch is chosen and accuracy counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Parity {
    /// On held-out training images; exact counts.
    Exact,
    /// As the published scripts: *on the test set*; accuracies of unequal batches averaged.
    Published,
}

/// A recipe's identity, whatever its kind: the first 16 hexadecimal digits of the SHA-256 of its canonical JSON.
pub fn identity(recipe: &impl Serialize) -> String {
    let json = serde_json::to_string(recipe).expect("a recipe is plain data");
    let digest = Sha256::digest(json.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl Recipe {
    /// The identity: the first 16 hexadecimal digits of the SHA-256 of the recipe's canonical JSON.
    pub fn hash(&self) -> String {
        identity(self)
    }

    /// The side of square training images of `full` pixels a side at a 0-based epoch; the network's answers to other images,
    /// and the victim's answers to these, are at `full`.
    pub fn side(&self, full: usize, epoch: usize) -> usize {
        let grown = epoch as f64 / (self.growing * self.epochs as f64);
        if self.growing == 0.0 || grown >= 1.0 {
            return full;
        }
        let side = full as f64 * (0.5 + 0.5 * grown);
        ((side / STEP).round() * STEP).clamp(1.0, full as f64) as usize
    }

    /// Pixels that a training image has on average over the epochs, as a share of all of its own.
    pub fn mean_area(&self, full: usize) -> f64 {
        let areas = (0..self.epochs).map(|epoch| (self.side(full, epoch) as f64 / full as f64).powi(2));
        areas.sum::<f64>() / self.epochs.max(1) as f64
    }

    /// The recipe that `text`, its JSON, says.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn read(text: &str) -> Result<Self, String> {
        let tree = serde_json::from_str::<serde_json::Value>(text).map_err(|e| e.to_string())?;
        serde_path_to_error::deserialize(tree).map_err(|e| match e.path().to_string().as_str() {
            "." => e.inner().to_string(),
            place => format!("{place}: {}", e.inner()),
        })
    }

    /// What is impossible about the recipe, with what to change; `None` if it can run.
    pub fn problem(&self) -> Option<String> {
        let share = |x: f64| (0.0..=1.0).contains(&x);
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let checks = [
            (self.format == RECIPE_FORMAT, format!("format is {}, expected {RECIPE_FORMAT}", self.format)),
            (self.epochs > 0, "epochs is 0, expected at least 1".into()),
            (self.batch > 1, format!("batch is {}, expected at least 2 (batch-norm needs two)", self.batch)),
            (
                positive(self.learning_rate),
                format!("learning_rate is {}, expected above 0", self.learning_rate),
            ),
            (share(self.warmup), format!("warmup is {}, expected a share from 0 to 1", self.warmup)),
            (share(self.growing), format!("growing is {}, expected a share from 0 to 1", self.growing)),
            (
                self.growing == 0.0 || self.objective.heads().is_none(),
                format!("growing must be 0 for a student that learns by {}", self.objective.name()),
            ),
            (
                self.growing == 0.0 || self.architecture.serves_all_sides(),
                format!(
                    "growing must be 0 for {}, whose weights depend on the side of the images",
                    self.architecture
                ),
            ),
            (self.clip_norm.is_none_or(positive), "clip_norm must be above 0, or absent".into()),
            (self.data.subset.is_none_or(|n| n > 1), "data.subset must be at least 2, or absent".into()),
            (
                self.parity == Parity::Exact || self.data.validation == 0,
                "parity = \"published\" chooses the epoch on the test set: data.validation must be 0".into(),
            ),
        ];
        let own = checks.into_iter().find_map(|(fine, what)| (!fine).then_some(what));
        own.or_else(|| self.start.as_ref().and_then(|start| start.network.problem("start.network")))
            .or_else(|| self.guard_problem())
            .or_else(|| self.objective.problem())
            .or_else(|| self.optimiser.problem())
            .or_else(|| self.schedule.problem())
    }

    /// A guard needs a start that it can fall back to, and held-out images that tell when.
    fn guard_problem(&self) -> Option<String> {
        self.objective.guard()?;
        let fine = self.start.is_some()
            && self.parity == Parity::Exact
            && self.data.validation > 0
            && self.keep == Keep::Best;
        (!fine).then(|| {
            "objective.guard watches held-out images and falls back to the start: it needs a start, data.validation above 0, \
             parity = \"exact\" and keep = \"best\"; objective.guard=none leaves it out"
                .into()
        })
    }
}

#[cfg(test)]
mod tests;
