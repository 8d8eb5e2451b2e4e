//! Thieves that make images of their own and ask about them.

use crate::data::{ImageSet, Normalisation};
use crate::nets::Network;
use burn::tensor::Device;

/// What a thief makes images with.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// Its clone so far, without autodiff.
    pub clone: &'a Network,
    /// Of the clone's input.
    pub normalisation: &'a Normalisation,
    /// Without autodiff.
    pub device: &'a Device,
    /// Decides what is random.
    pub seed: u64,
    /// 0-based.
    pub round: usize,
}

/// A thief that begins with few images. In every round it trains a clone on the images that it has, makes others by it and asks about
/// them.
pub trait Maker {
    /// Rounds.
    fn rounds(&self) -> usize;

    /// Images that it makes of each one in a round.
    fn each(&self) -> usize;

    /// Passes through the clone, forward and backward, that an image takes to make.
    fn steps(&self) -> usize;

    /// `wanted` images, or fewer if it does not make as many of `images`. Their labels are 0.
    fn make(&self, images: &ImageSet, wanted: usize, at: Stage<'_>) -> ImageSet;
}

/// Images that `maker` must begin with to come to `budget` queries, if it holds out the share `held_out` of them.
pub fn seeds(maker: &dyn Maker, budget: usize, held_out: f64) -> usize {
    let growth = (1 + maker.each()).saturating_pow(maker.rounds() as u32) as f64;
    (budget as f64 / (held_out + (1.0 - held_out) * growth)).ceil() as usize
}

/// Images that `maker` has in the end if it begins with `images` and asks about `most` at most.
pub(super) fn grown(maker: &dyn Maker, images: usize, most: usize) -> usize {
    let round = |images: usize, _| images.saturating_add(images.saturating_mul(maker.each())).min(most);
    (0..maker.rounds()).fold(images, round)
}
