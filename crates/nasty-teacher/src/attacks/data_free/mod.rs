//! Distillation without any data: DAFL (Chen et al., *Data-Free Learning of Student Networks*, ICCV 2019).
//!
//! A generator learns to make images on which the frozen teacher behaves as on its training images: the teacher is sure
//! of one class, all classes are equally frequent, and its features are active. The student imitates the teacher on
//! those images. No training image is used; the test images only measure the student.

mod losses;
mod run;
#[cfg(test)]
mod tests;

pub use losses::{GeneratorLosses, generator_losses};
pub use run::{DataFree, DataFreeEnd, DataFreeOutcome, DataFreeRow};

use super::TestData;
use crate::nets::{Architecture, Generator, Input, NetError};
use crate::training::{NetworkRef, Optimiser, Parity, Schedule, identity};
use serde::{Deserialize, Serialize};

/// Version of [`DataFreeRecipe`]'s fields; part of its hash.
pub const DATA_FREE_FORMAT: u32 = 1;
/// A step holds `batch` images and `batch`·`latent` random numbers in memory.
const MAX_BATCH: usize = 65_536;
const MAX_NOISE: usize = 1 << 28;
const MAX_EPOCHS: usize = 1_000_000;

/// Everything that decides what one data-free attack gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFreeRecipe {
    /// [`DATA_FREE_FORMAT`].
    pub format: u32,
    /// Whose test images measure the student. The shape of its images is the generator's.
    pub data: TestData,
    /// The frozen victim.
    pub teacher: NetworkRef,
    /// The network to train.
    pub student: Architecture,
    /// The generator and its optimiser (Adam).
    pub generator: GeneratorRecipe,
    /// Weights of the generator's losses.
    pub weights: GeneratorWeights,
    /// τ by which the teacher's logits are divided before the generator and the student learn from them (published: 1).
    #[serde(default = "published_temperature", skip_serializing_if = "is_published_temperature")]
    pub temperature: f64,
    /// How the student's weights are changed.
    pub optimiser: Optimiser,
    /// The student's peak learning rate.
    pub learning_rate: f64,
    /// The course of the student's learning rate; the generator's is constant.
    pub schedule: Schedule,
    /// Epochs.
    pub epochs: usize,
    /// Steps an epoch.
    pub steps: usize,
    /// Generated images a step.
    pub batch: usize,
    /// `exact` keeps the last epoch; `published` keeps the epoch that is best *on the test set*.
    pub parity: Parity,
    /// Decides initial weights and the generator's noise.
    pub seed: u64,
}

fn published_temperature() -> f64 {
    1.0
}

fn is_published_temperature(temperature: &f64) -> bool {
    *temperature == published_temperature()
}

/// The generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorRecipe {
    /// Random numbers an image is made of.
    pub latent: usize,
    /// Channels of its first maps (published: 128); its last hidden maps have half of them.
    pub width: usize,
    /// Adam's constant learning rate.
    pub learning_rate: f64,
}

/// Weights of the generator's losses; see [`generator_losses`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorWeights {
    /// `oh`: the teacher is sure of a class.
    pub one_hot: f64,
    /// `ie`: all classes come up.
    pub entropy: f64,
    /// `a`: the teacher's features are active.
    pub activation: f64,
}

impl DataFreeRecipe {
    /// The published recipe: 2,000 epochs of 120 steps of 1,024 images; weights 0.05, 5, 0.01 for up to ten classes
    /// (CIFAR-10) and 0.5, 20, 0.1 for more (CIFAR-100).
    pub fn published(data: TestData, classes: usize, teacher: NetworkRef, student: Architecture) -> Self {
        let weights = if classes <= 10 {
            GeneratorWeights { one_hot: 0.05, entropy: 5.0, activation: 0.01 }
        } else {
            GeneratorWeights { one_hot: 0.5, entropy: 20.0, activation: 0.1 }
        };
        Self {
            format: DATA_FREE_FORMAT,
            data,
            teacher,
            student,
            generator: GeneratorRecipe { latent: 1000, width: 128, learning_rate: 0.02 },
            weights,
            temperature: published_temperature(),
            optimiser: Optimiser::of_kind("sgd").expect("a kind"),
            learning_rate: 0.1,
            schedule: Schedule::Step { milestones: vec![800, 1600], factor: 0.1 },
            epochs: 2000,
            steps: 120,
            batch: 1024,
            parity: Parity::Exact,
            seed: 0,
        }
    }

    /// The identity: the first 16 hexadecimal digits of the SHA-256 of the recipe's canonical JSON.
    pub fn hash(&self) -> String {
        identity(self)
    }

    /// What is impossible about the recipe, with what to change; `None` if it can run.
    pub fn problem(&self) -> Option<String> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let not_negative = |x: f64| x.is_finite() && x >= 0.0;
        let GeneratorRecipe { latent, width, learning_rate } = self.generator;
        let GeneratorWeights { one_hot, entropy, activation } = self.weights;
        let checks = [
            (
                self.format == DATA_FREE_FORMAT,
                format!("format is {}, expected {DATA_FREE_FORMAT}", self.format),
            ),
            (
                (1..=MAX_EPOCHS).contains(&self.epochs),
                format!("epochs is {}, expected 1 to {MAX_EPOCHS}", self.epochs),
            ),
            (
                (1..=MAX_EPOCHS).contains(&self.steps),
                format!("steps is {}, expected 1 to {MAX_EPOCHS}", self.steps),
            ),
            (
                (2..=MAX_BATCH).contains(&self.batch),
                format!("batch is {}, expected 2 to {MAX_BATCH} (batch-norm needs two)", self.batch),
            ),
            (
                Generator::check(latent, width).is_ok(),
                Generator::check(latent, width).err().map(|e| format!("generator: {e}")).unwrap_or_default(),
            ),
            (
                self.batch.saturating_mul(latent) <= MAX_NOISE,
                format!("batch times generator.latent is above {MAX_NOISE}: lower one of them"),
            ),
            (
                positive(learning_rate),
                format!("generator.learning_rate is {learning_rate}, expected above 0"),
            ),
            (positive(self.temperature), format!("temperature is {}, expected above 0", self.temperature)),
            (
                positive(self.learning_rate),
                format!("learning_rate is {}, expected above 0", self.learning_rate),
            ),
            (
                [one_hot, entropy, activation].into_iter().all(not_negative),
                "weights.one_hot, weights.entropy and weights.activation must be 0 or above".into(),
            ),
        ];
        let own = checks.into_iter().find_map(|(fine, what)| (!fine).then_some(what));
        own.or_else(|| self.teacher.problem("teacher"))
            .or_else(|| self.optimiser.problem())
            .or_else(|| self.schedule.problem())
    }

    /// The generator of this recipe for images of shape `input`, with its initial weights.
    ///
    /// # Errors
    /// [`NetError::Unbuildable`] for images whose side is not a multiple of 4.
    pub fn build_generator(
        &self,
        input: Input,
        device: &burn::tensor::Device,
    ) -> Result<Generator, NetError> {
        Generator::build(self.generator.latent, self.generator.width, input, self.seed, device)
    }
}
