//! Thieves that have no images.

use crate::data::Normalisation;
use crate::nets::{Input, NetError, Network};
use crate::training::{Optimiser, Outcome, RunContext, TrainError};
use crate::victim::Victim;
use burn::tensor::Device;

/// What a thief without images works with.
pub struct Forgery<'a> {
    /// The recipe's hash.
    pub recipe: &'a str,
    /// Whom it asks. Every image is a query.
    pub victim: &'a dyn Victim,
    /// The clone with its initial weights, on the autodiff device.
    pub clone: Network,
    /// Of the clone's input.
    pub normalisation: &'a Normalisation,
    /// How the clone's weights are changed.
    pub optimiser: &'a Optimiser,
    /// The clone's peak learning rate.
    pub learning_rate: f64,
    /// Images a step.
    pub batch: usize,
    /// The most images that it asks about.
    pub budget: usize,
    /// Decides what is random.
    pub seed: u64,
    /// Without autodiff.
    pub device: Device,
}

/// How a forger trains its clone.
pub struct CloneTraining {
    /// How the clone's weights are changed.
    pub optimiser: Optimiser,
    /// Its peak learning rate.
    pub learning_rate: f64,
    /// Images a step.
    pub batch: usize,
}

/// How much a forger does within a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Images that it asks about, those that come up again included.
    pub queries: usize,
    /// Steps of the clone.
    pub steps: usize,
    /// Epochs that its progress is counted in.
    pub epochs: usize,
    /// Images by how often each passes forward through the clone, or through a network that makes images.
    pub forward: Through,
    /// The same of passes forward and backward.
    pub trained: Through,
}

/// Passes of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Through {
    /// Through the clone.
    pub clone: usize,
    /// Through the network that makes the images.
    pub maker: usize,
}

/// A thief that begins with no image at all: it makes all of them, and trains its clone on the answers as they come.
pub trait Forger {
    /// Queries below which it is not worth a try.
    fn least(&self) -> usize;

    /// How it trains its clone.
    fn training(&self) -> CloneTraining;

    /// How much it does with `budget` queries in batches of `batch` images.
    fn extent(&self, budget: usize, batch: usize) -> Extent;

    /// Multiply-accumulates of making one image of shape `input`.
    ///
    /// # Errors
    /// [`NetError`] if it cannot make such images.
    fn macs(&self, input: Input, device: &Device) -> Result<u64, NetError>;

    /// Why it cannot make images of shape `input`, if so.
    fn misfit(&self, input: Input) -> Option<String>;

    /// Trains a clone, from the saved state if there is one. The clone of the last step is the one that it keeps.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] if a loss or a weight is NaN or infinite; [`TrainError::State`]; [`TrainError::Victim`] if the victim
    /// does not answer; [`TrainError::Network`] for images that cannot be made.
    fn forge(&self, with: &Forgery<'_>, context: RunContext<'_>) -> Result<Outcome, TrainError>;
}
