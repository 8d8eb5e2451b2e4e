//! What a run reports while it goes on.

use serde::{Deserialize, Serialize};

/// What one epoch gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// 0-based.
    pub epoch: usize,
    /// Steps done at its end.
    pub step: usize,
    /// Learning rate of its last step.
    pub learning_rate: f64,
    /// Mean of the objective over its images.
    pub train_loss: f64,
    /// Accuracy on the augmented training images, in training mode.
    pub train_accuracy: f64,
    /// On the images that choose the epoch: held-out ones, or (published parity) the test set.
    pub selection: Option<Selection>,
    /// Seconds of work up to its end.
    pub seconds: f64,
}

/// How an epoch did on the images that choose the epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Accuracy; with published parity, averaged over unequal batches.
    pub accuracy: f64,
    /// Mean cross entropy, nats.
    pub loss: f64,
    /// Whether these are test images (published parity), not held-out ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// τ²·KL to the adversary, where undermining is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaled_kl: Option<f64>,
    /// Whether the epoch lost too much accuracy and was undone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
}

impl Selection {
    /// What its images are: `test` or `held-out`.
    pub fn images(&self) -> &'static str {
        if self.test { "test" } else { "held-out" }
    }
}

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Course {
    /// 0-based epoch under way.
    pub(crate) epoch: usize,
    /// Steps of it that are done.
    pub(crate) step: usize,
    /// Finished epochs.
    pub(crate) rows: Vec<EpochRow>,
    /// Seconds of work so far.
    pub(crate) seconds: f64,
}

/// Who watches a run, and may stop it.
pub trait Observer: Send {
    /// Called after every batch: 0-based `epoch`, `batch` batches done of `batches`, and the last batch's loss.
    fn batch(&mut self, epoch: usize, batch: usize, batches: usize, loss: f64);
    /// Called after every epoch.
    fn epoch(&mut self, row: &EpochRow, epochs: usize);
    /// Whether to save the state and stop now.
    fn stop(&self) -> bool;
    /// Whether the run is still this process's. Asked before each save: if not, nothing is written and the run stops.
    fn may_write(&self) -> bool {
        true
    }
    /// Called once at the start, with the epochs that earlier sittings finished.
    fn resumed(&mut self, _rows: &[EpochRow]) {}
}
