//! The result of a thief: a clone, measured.

use super::result::Machine;
use crate::metrics::Bits;
use crate::numerics::Provenance;
use crate::training::Evaluation;
use serde::{Deserialize, Serialize};

/// A clone, measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThiefResult {
    /// [`super::RESULT_FORMAT`].
    pub format: u32,
    /// The recipe's hash.
    pub recipe: String,
    /// Share of the images that the thief held out on which the clone gives the label that the thief goes by; none if it held
    /// none out.
    pub validation: Option<f64>,
    /// On the test images, against true labels.
    pub test: Evaluation,
    /// Whether each test image is classified correctly.
    pub right: Bits,
    /// Against what the victim serves for the test images; none for a floor.
    pub served: Option<Alike>,
    /// Against what the victim without defences serves for them; none where that was not asked.
    pub clean: Option<Alike>,
    /// Different images that it made and asked about, where it makes some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<usize>,
    /// Optimiser steps.
    pub steps: usize,
    /// Seconds of training.
    pub seconds: f64,
    /// What it ran on.
    pub machine: Machine,
    /// What it was made from and with.
    pub made_with: Provenance,
}

/// How alike a clone's answers and a victim's are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alike {
    /// Share of the images with the same predicted class.
    pub agreement: f64,
    /// Mean `KL(victim ‖ clone)`, in nats.
    pub kl: f64,
}
