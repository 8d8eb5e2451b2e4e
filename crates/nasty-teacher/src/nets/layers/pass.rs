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

/// The maps `[batch, side, side, channels]` that a network's stages end in. A stage ends where the side becomes smaller: it is the
/// last map of its side that something with a smaller side is made of. [`Graph::stages`](crate::nets::Graph::stages) tells their
/// shapes.
#[derive(Default)]
pub(crate) struct Stages(Vec<Tensor<4>>);

impl Stages {
    pub(super) fn leave(&mut self, x: Tensor<4>) {
        let side = x.dims()[1];
        self.0.retain(|known| known.dims()[1] != side);
        self.0.push(x);
    }

    /// The map of this side.
    pub(crate) fn of_side(&self, side: usize) -> Option<&Tensor<4>> {
        self.0.iter().find(|map| map.dims()[1] == side)
    }
}

/// What holds for one forward pass through all layers.
pub(crate) struct Pass {
    pub(crate) mode: Mode,
    pub(crate) precision: Precision,
    /// Where batch-norms leave the statistics of their inputs, if someone wants them.
    pub(crate) statistics: Option<RefCell<Vec<NormStatistics>>>,
    /// Where the maps that stages end in are left, if someone wants them; see [`Stages`].
    pub(crate) stages: Option<RefCell<Stages>>,
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
