//! Stochastic gradient descent for Burn's module optimiser. Burn's own implementation passes over weight and gradient
//! seven times per step, on one thread.

use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};
use nasty_kernels::{SgdStep, sgd_step};

/// PyTorch's SGD, without dampening.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sgd {
    pub(super) momentum: f64,
    pub(super) nesterov: bool,
    pub(super) weight_decay: f64,
}

/// What the next step goes on from.
#[derive(Clone)]
pub(super) struct SgdState<const D: usize> {
    /// Of the shape of the weight.
    velocity: Tensor<D>,
}

/// As Burn's own SGD names it, so that a saved state serves both.
impl<const D: usize> RecordState for SgdState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_tensor(&format!("{prefix}.momentum"), "velocity", self.velocity.to_data());
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let velocity = source.take_tensor(&format!("{prefix}.momentum"), "velocity")?;
        Some(Self { velocity: Tensor::from_data(velocity, device) })
    }
}

impl Optimizer for Sgd {
    type State<const D: usize> = SgdState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<SgdState<D>>,
    ) -> (Tensor<D>, Option<SgdState<D>>) {
        let Self { momentum, nesterov, weight_decay } = *self;
        let velocity = state.map(|state| state.velocity);
        let step = SgdStep { rate, momentum, nesterov, weight_decay };
        let (weight, velocity) = sgd_step(weight, gradient, velocity, step);
        // Without momentum the velocity is forgotten at once.
        (weight, (momentum > 0.0).then_some(SgdState { velocity }))
    }

    fn to_device<const D: usize>(state: SgdState<D>, device: &Device) -> SgdState<D> {
        SgdState { velocity: state.velocity.to_device(device) }
    }
}
