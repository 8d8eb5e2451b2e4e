//! Extracting images from a trained network: DeepInversion (Yin et al., *Dreaming to Distill*, CVPR 2020).
//!
//! A batch of random images is optimised until the network sees the requested classes in them *and* the statistics of
//! its batch-norms' inputs match those seen in training. Random shifts and flips prevent solutions that only fit single
//! pixels. The comparison of a normal and a nasty teacher shows how much each reveals about its training images.

mod losses;
mod run;
#[cfg(test)]
mod tests;

pub use losses::{InversionLosses, inversion_losses, statistics_distance, total_variation};
pub use run::{Inversion, InversionEnd, InversionOutcome, InversionRow, Recognised};

use super::TestData;
use crate::training::{NetworkRef, Schedule, identity};
use serde::{Deserialize, Serialize};

/// Version of [`InversionRecipe`]'s fields; part of its hash.
pub const INVERSION_FORMAT: u32 = 1;
/// All images are optimised at once.
const MAX_IMAGES: usize = 16_384;
const MAX_STEPS: usize = 100_000_000;

/// Everything that decides what one inversion gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InversionRecipe {
    /// [`INVERSION_FORMAT`].
    pub format: u32,
    /// Names the classes; none of its images is used.
    pub data: TestData,
    /// The network that the images are pulled out of.
    pub network: NetworkRef,
    /// Another network, usually a normal one, that says whether it sees the wanted classes too.
    pub judge: Option<NetworkRef>,
    /// Images of the batch; image `i` is wanted to be of class `i mod classes`.
    pub images: usize,
    /// Gradient steps.
    pub steps: usize,
    /// Adam's peak learning rate.
    pub learning_rate: f64,
    /// The course of the learning rate. An epoch of it is [`InversionRecipe::EPOCH`] steps.
    pub schedule: Schedule,
    /// `α_f`, the weight of the distance of batch-norm statistics.
    pub statistics: f64,
    /// `α_tv`, the weight of the total variation.
    pub total_variation: f64,
    /// `α_ℓ2`, the weight of the ℓ2 norm.
    pub l2: f64,
    /// Largest shift, in pixels and either direction, of the whole batch at a step; what leaves on one side comes in
    /// on the other.
    pub jitter: usize,
    /// Whether the batch is mirrored left to right at half of the steps.
    pub flip: bool,
    /// Decides the first images, the shifts and the flips.
    pub seed: u64,
}

impl InversionRecipe {
    /// Steps that are reported together and make one epoch of the schedule.
    pub const EPOCH: usize = 50;

    /// The published recipe for CIFAR-10: 256 images, 2,000 steps, α_f = 10, α_tv = 2.5e-5, α_ℓ2 = 3e-8, shifts of
    /// two pixels.
    pub fn published(data: TestData, network: NetworkRef, judge: Option<NetworkRef>) -> Self {
        Self {
            format: INVERSION_FORMAT,
            data,
            network,
            judge,
            images: 256,
            steps: 2000,
            learning_rate: 0.05,
            schedule: Schedule::Constant,
            statistics: 10.0,
            total_variation: 2.5e-5,
            l2: 3e-8,
            jitter: 2,
            flip: true,
            seed: 0,
        }
    }

    /// The identity: the first 16 hexadecimal digits of the SHA-256 of the recipe's canonical JSON.
    pub fn hash(&self) -> String {
        identity(self)
    }

    /// What is impossible about the recipe, with what to change; `None` if it can run.
    pub fn problem(&self) -> Option<String> {
        let not_negative = |x: f64| x.is_finite() && x >= 0.0;
        let Self { format, images, steps, learning_rate, jitter, .. } = self;
        let checks = [
            (*format == INVERSION_FORMAT, format!("format is {format}, expected {INVERSION_FORMAT}")),
            ((2..=MAX_IMAGES).contains(images), format!("images is {images}, expected 2 to {MAX_IMAGES}")),
            ((1..=MAX_STEPS).contains(steps), format!("steps is {steps}, expected 1 to {MAX_STEPS}")),
            (
                learning_rate.is_finite() && *learning_rate > 0.0,
                format!("learning_rate is {learning_rate}, expected above 0"),
            ),
            (
                [self.statistics, self.total_variation, self.l2].into_iter().all(not_negative),
                "statistics, total_variation and l2 must be 0 or above".into(),
            ),
            (*jitter <= 256, format!("jitter is {jitter}, expected at most 256 pixels")),
        ];
        let own = checks.into_iter().find_map(|(fine, what)| (!fine).then_some(what));
        own.or_else(|| self.network.problem("network"))
            .or_else(|| self.judge.as_ref()?.problem("judge"))
            .or_else(|| self.schedule.problem())
    }

    /// The wanted class of every image.
    pub fn labels(&self, classes: usize) -> Vec<u16> {
        (0..self.images).map(|i| (i % classes.max(1)) as u16).collect()
    }
}
