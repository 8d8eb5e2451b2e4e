//! Optimisers with PyTorch's conventions, and clipping of the gradient's global norm.

use super::sgd::Sgd;
use crate::nets::Network;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// How gradients change weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Optimiser {
    /// Stochastic gradient descent, momentum without dampening, weight decay added to every gradient.
    Sgd {
        /// Momentum factor; 0 for none.
        momentum: f64,
        /// Nesterov's variant.
        nesterov: bool,
        /// L2 penalty on all parameters, batch-norm and biases included, as the published recipes do.
        weight_decay: f64,
    },
    /// Adam (β = 0.9, 0.999; ε = 1e-8), L2 weight decay.
    Adam {
        /// L2 penalty on all parameters.
        weight_decay: f64,
    },
}

impl Optimiser {
    /// A kind with its documented defaults; `None` for a name that is not a kind.
    pub fn of_kind(kind: &str) -> Option<Self> {
        Some(match kind {
            "sgd" => Self::Sgd { momentum: 0.9, nesterov: false, weight_decay: 5e-4 },
            "adam" => Self::Adam { weight_decay: 0.0 },
            _ => return None,
        })
    }

    /// What is impossible about the settings; `None` if they can be used.
    pub fn problem(&self) -> Option<String> {
        let decays = |penalty: f64| penalty.is_finite() && penalty >= 0.0;
        match *self {
            Self::Sgd { momentum, weight_decay, .. }
                if !(0.0..1.0).contains(&momentum) || !decays(weight_decay) =>
            {
                Some("optimiser.momentum must be from 0 to below 1, optimiser.weight_decay 0 or above".into())
            }
            Self::Sgd { nesterov: true, momentum: 0.0, .. } => {
                Some("optimiser.nesterov needs a momentum above 0".into())
            }
            Self::Adam { weight_decay } if !decays(weight_decay) => {
                Some("optimiser.weight_decay must be 0 or above".into())
            }
            _ => None,
        }
    }

    /// The optimiser for these settings.
    pub fn build(&self) -> ModuleOptimizer {
        let decay = |penalty: f64| (penalty > 0.0).then(|| WeightDecayConfig::new(penalty as f32));
        match *self {
            Self::Sgd { momentum, nesterov, weight_decay } => Sgd { momentum, nesterov, weight_decay }.into(),
            Self::Adam { weight_decay } => {
                AdamConfig::new().with_epsilon(1e-8).with_weight_decay(decay(weight_decay)).init()
            }
        }
    }
}

/// Scales all gradients so that their common ℓ2 norm is at most `limit`
/// (PyTorch's `clip_grad_norm_`; Burn's own clipping is per tensor). Returns the norm before.
pub fn clip_global_norm(network: &Network, gradients: &mut GradientsParams, limit: f64) -> f64 {
    struct Norm<'a>(&'a GradientsParams, f64);
    impl ModuleVisitor for Norm<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.get::<D>(param.id) {
                self.1 += f64::from(gradient.square().sum().into_scalar::<f32>());
            }
        }
    }
    struct Scale<'a>(&'a mut GradientsParams, f64);
    impl ModuleVisitor for Scale<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.remove::<D>(param.id) {
                self.0.register(param.id, gradient.mul_scalar(self.1));
            }
        }
    }
    let mut norm = Norm(gradients, 0.0);
    network.visit(&mut norm);
    let norm = norm.1.sqrt();
    if norm > limit {
        network.visit(&mut Scale(gradients, limit / (norm + 1e-6)));
    }
    norm
}
