//! The recipe of one clone, as plain data.

use super::forger::Extent;
use super::maker::grown;
use super::{Signal, Thief};
use crate::attacks::{Images, TestData};
use crate::data::Augmentation;
use crate::nets::{Architecture, Input, NetError, Precision};
use crate::training::{
    DataRecipe, Keep, Loss, NetworkRef, Optimiser, Parity, RECIPE_FORMAT, Recipe, Schedule, identity,
};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// Version of the fields of a thief's recipe; part of its hash.
pub const THIEF_FORMAT: u32 = 1;

/// A clone by which images are made is trained for one in so many of the steps.
const ROUND: usize = 4;

/// Its convolutions are about as wide as those of a generator.
const LIKE_MAKING: Architecture = Architecture::Cnn { width: 64 };

/// Which labels a thief goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Labels {
    /// True labels of its own.
    True,
    /// The class that the victim served.
    Served,
}

/// Everything that decides what one clone is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThiefRecipe {
    /// [`THIEF_FORMAT`].
    pub format: u32,
    /// Who steals, and how.
    pub thief: Thief,
    /// The clone's architecture.
    pub student: Architecture,
    /// The images that it has, those held out included; 0 for a thief without images.
    pub images: Images,
    /// Images of the same part that it has, those above first, where it learns from images that nobody is asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlabelled: Option<usize>,
    /// Images that it asks about in all, at most, where it makes some of its own: those above are what it begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<usize>,
    /// The labels that it goes by.
    pub labels: Labels,
    /// The task that asked the victim about these images, or, for a thief without images, any that asked the victim; none for a floor
    /// without a victim.
    pub asked: Option<NetworkRef>,
    /// The task that asked the victim about the test images, to compare with; none for a floor without a victim.
    pub served: Option<NetworkRef>,
    /// The same of the victim without its defences, where that was asked.
    pub clean: Option<NetworkRef>,
    /// The clone of the predicted classes that some thieves need first.
    pub prior: Option<NetworkRef>,
    /// Share of the images that it holds out to choose its settings by.
    pub held_out: f64,
    /// The images that the clone is tested on, which no thief sees.
    pub test: Images,
    /// How the clone's weights are changed.
    pub optimiser: Optimiser,
    /// Peak learning rate; it rises over the first tenth of the steps and falls by half a cosine. A thief without images has its own
    /// schedule.
    pub learning_rate: f64,
    /// Optimiser steps, at least.
    pub steps: usize,
    /// Images a step.
    pub batch: usize,
    /// Random crop, flip and rotation of the images that the clone sees. The victim was asked about unchanged images.
    pub augmentation: Augmentation,
    /// Decides initial weights, order and views.
    pub seed: u64,
}

impl ThiefRecipe {
    /// The identity: the first 16 hexadecimal digits of the SHA-256 of the recipe's canonical JSON.
    pub fn hash(&self) -> String {
        identity(self)
    }

    /// Images that are held out, of `images` images.
    pub fn validation(&self, images: usize) -> usize {
        ((self.held_out * images as f64).round() as usize).min(images.saturating_sub(2))
    }

    /// Images that the victim is asked about, repeats included; 0 for a floor without a victim.
    pub fn queries(&self) -> usize {
        match self.thief.signal() {
            Signal::Nothing => 0,
            _ if self.thief.forger().is_some() => self.extent().map_or(0, |extent| extent.queries),
            _ => self.held() + self.trained() - self.images.count + self.images.count * self.thief.answers(),
        }
    }

    /// How much a thief without images does; none for others.
    pub fn extent(&self) -> Option<Extent> {
        Some(self.thief.forger()?.extent(self.budget?, self.batch))
    }

    /// Epochs that its progress is counted in.
    pub fn length(&self) -> usize {
        self.extent().map_or_else(|| self.epochs(self.trained()), |extent| extent.epochs)
    }

    /// Images that the student is trained on in the end, of those that it begins with and those made of them.
    pub fn trained(&self) -> usize {
        let begun = self.images.count - self.held();
        match (self.thief.maker(), self.budget) {
            (Some(maker), Some(budget)) => grown(maker, begun, budget.saturating_sub(self.held())),
            _ => begun,
        }
    }

    /// Images that are held out.
    fn held(&self) -> usize {
        self.validation(self.images.count)
    }

    /// Images, by how often each passes forward and backward through the student or a clone before it: what training costs.
    pub fn passes(&self) -> f64 {
        if let Some(Extent { forward, trained, .. }) = self.extent() {
            // A pass forward is a third of one forward and backward.
            return trained.clone as f64 + forward.clone as f64 / 3.0;
        }
        let trained = self.trained();
        let each = self.training(trained).objective.passes();
        let last = (trained * self.epochs(trained)) as f64 * each;
        let Some(maker) = self.thief.maker() else { return last };
        let begun = self.images.count - self.held();
        let before = maker.rounds() * self.steps.div_ceil(ROUND) * self.batch;
        last + (before + (trained - begun) * maker.steps()) as f64
    }

    /// What a thief without images makes images of shape `input` with, as a network that costs about the same a multiply-accumulate,
    /// and how many images pass forward and backward through that; none for others.
    ///
    /// # Errors
    /// [`NetError`] if it cannot make such images.
    pub fn making(
        &self,
        input: Input,
        classes: usize,
        device: &Device,
    ) -> Result<Option<(Architecture, f64)>, NetError> {
        let Some((forger, extent)) = self.thief.forger().zip(self.extent()) else { return Ok(None) };
        let each = LIKE_MAKING.build(classes, input, 0, device)?.macs() as f64;
        let passes = extent.trained.maker as f64 + extent.forward.maker as f64 / 3.0;
        Ok(Some((LIKE_MAKING, passes * forger.macs(input, device)? as f64 / each)))
    }

    /// Passes over `trained` images that come to the steps wanted, the last one whole.
    pub fn epochs(&self, trained: usize) -> usize {
        self.steps.div_ceil(trained.div_ceil(self.batch).max(1))
    }

    /// The training, on `trained` images, of a clone by which images are made: a quarter of the steps.
    pub fn round_training(&self, trained: usize) -> Recipe {
        Self { steps: self.steps.div_ceil(ROUND), ..self.clone() }.training(trained)
    }

    /// The training of the student, on `trained` images.
    pub fn training(&self, trained: usize) -> Recipe {
        let none = || NetworkRef("0".repeat(16));
        let TestData { name, digest, side } = self.images.data.clone();
        Recipe {
            format: RECIPE_FORMAT,
            data: DataRecipe { name, digest, side, validation: 0, subset: None },
            architecture: self.student,
            objective: self.thief.objective(self.asked.clone().unwrap_or_else(none)),
            optimiser: self.optimiser.clone(),
            learning_rate: self.learning_rate,
            schedule: Schedule::Cosine,
            warmup: 0.1,
            epochs: self.epochs(trained),
            batch: self.batch,
            augmentation: self.augmentation.clone(),
            clip_norm: None,
            precision: Precision::F32,
            keep: Keep::Last,
            parity: Parity::Exact,
            seed: self.seed,
            growing: 0.0,
            start: None,
        }
    }

    /// What is impossible about the recipe; `None` if it can run.
    pub fn problem(&self) -> Option<String> {
        let asks = self.thief.signal() != Signal::Nothing;
        let forges = self.thief.forger().is_some();
        let checks = [
            (self.format == THIEF_FORMAT, format!("format is {}, expected {THIEF_FORMAT}", self.format)),
            (self.steps > 0, "steps is 0, expected at least 1".into()),
            ((0.0..1.0).contains(&self.held_out), "held_out must be a share below 1".into()),
            (self.asked.is_some() == asks, format!("{} and `asked` do not fit", self.thief.name())),
            (
                asks || self.labels == Labels::True,
                format!("{} asks nobody: it needs true labels", self.thief.name()),
            ),
            (
                self.prior.is_some() == self.thief.needs_prior(),
                format!("{} and `prior` do not fit", self.thief.name()),
            ),
            (
                self.budget.is_some() == (self.thief.maker().is_some() || forges),
                format!("{} and `budget` do not fit", self.thief.name()),
            ),
            (
                self.budget.is_none_or(|budget| budget >= self.images.count),
                format!("budget is less than the {} images that it begins with", self.images.count),
            ),
            (
                self.budget.is_none() || self.labels == Labels::Served,
                format!("{} has no labels of the images that it makes", self.thief.name()),
            ),
            (
                !forges || (self.images.count == 0 && self.held_out == 0.0),
                format!("{} has no images: images.count and held_out must be 0", self.thief.name()),
            ),
            (
                !forges || self.extent().is_none_or(|extent| extent.epochs > 0),
                format!("budget is less than a round of {} in batches of {}", self.thief.name(), self.batch),
            ),
            (
                self.extent().is_none_or(|extent| self.steps == extent.steps),
                format!(
                    "steps is {}, expected the {} that the budget has room for",
                    self.steps,
                    self.extent().map_or(0, |extent| extent.steps)
                ),
            ),
            (
                self.unlabelled.is_some() == self.thief.wants_unlabelled(),
                format!("{} and `unlabelled` do not fit", self.thief.name()),
            ),
            (
                self.unlabelled.is_none_or(|count| count >= self.images.count),
                format!("unlabelled is less than the {} images asked about", self.images.count),
            ),
        ];
        let own = checks.into_iter().find_map(|(fine, what)| (!fine).then_some(what));
        let networks = [("asked", &self.asked), ("served", &self.served), ("prior", &self.prior)];
        own.or_else(|| networks.into_iter().find_map(|(key, network)| network.as_ref()?.problem(key)))
            .or_else(|| self.thief.problem())
            .or_else(|| self.images.problem().filter(|_| !forges))
            .or_else(|| self.training(2).problem())
    }
}
