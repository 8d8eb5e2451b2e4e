//! What holds for one forward pass through all layers, and what it leaves behind.

use std::cell::RefCell;

use burn::tensor::Tensor;
use nasty_kernels::Precision;

/// How batch-norm normalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By the batch's statistics, which move the running ones.
    Train,
    /// By the running statistics.
    Eval,
}

/// Statistics of what entered one batch-norm, beside what it saw in training: what DeepInversion
/// (Yin et al., CVPR 2020) draws together. All `[channels]`; `mean` and `variance` carry gradients.
#[derive(Clone, Debug)]
pub struct NormStatistics {
    /// The batch's mean.
    pub mean: Tensor<1>,
    /// The batch's biased variance.
    pub variance: Tensor<1>,
    /// The running mean.
    pub running_mean: Tensor<1>,
    /// The running variance.
    pub running_variance: Tensor<1>,
}

/// The randomness of one training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropping {
    /// The run's seed.
    pub seed: u64,
    /// The step's number in the run.
    pub step: u64,
    /// Probability that the deepest residual branch is left out for an image (Huang et al., ECCV 2016); that of the others
    /// grows with their depth. 0 leaves none out.
    pub stochastic_depth: f64,
}

impl Dropping {
    /// Dropout as the networks have it, no stochastic depth.
    pub fn new(seed: u64, step: u64) -> Self {
        Self { seed, step, stochastic_depth: 0.0 }
    }
}

/// What holds for one forward pass through all layers.
pub(crate) struct Pass {
    pub(crate) mode: Mode,
    pub(crate) precision: Precision,
    /// Where batch-norms leave the statistics of their inputs, if someone wants them.
    pub(crate) statistics: Option<RefCell<Vec<NormStatistics>>>,
    /// What training drops, if it does.
    pub(crate) dropping: Option<Dropping>,
    /// So many of the network's first tensors are not trained: batch-norms among them are in evaluation mode.
    pub(crate) frozen: usize,
}

impl Pass {
    /// The mode of a layer whose first tensor has this number.
    pub(super) fn mode_of(&self, tensor: usize) -> Mode {
        if tensor < self.frozen { Mode::Eval } else { self.mode }
    }
}
