//! Batch-norm (Ioffe & Szegedy, ICML 2015) as in PyTorch: the running variance is the unbiased one.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use nasty_kernels::{self as kernels, Activation, Activations, BatchNormOutput};

use super::builder::Init;
use super::{Builder, Maps, Mode, NormStatistics, Pass, Running};
use crate::nets::graph::Op;

pub(super) const EPSILON: f64 = 1e-5;
pub(super) const MOMENTUM: f64 = 0.1;

/// Batch-norm over maps or vectors; its tensors are `<name>.weight`, `.bias`, `.running_mean`, `.running_var`.
#[derive(Module, Debug)]
pub(crate) struct BatchNorm {
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
    mean: Running,
    variance: Running,
    /// Added to the variance.
    #[module(skip)]
    pub(in crate::nets) epsilon: f64,
    /// How far the running statistics move towards the batch's.
    #[module(skip)]
    momentum: f64,
}

impl BatchNorm {
    pub(crate) fn new(b: &Builder, name: &str, channels: usize) -> Self {
        let b = b.at(name);
        Self {
            gamma: b.parameter("weight", [channels], Init::Constant(1.0)),
            beta: b.parameter("bias", [channels], Init::Constant(0.0)),
            mean: b.running("running_mean", channels, 0.0),
            variance: b.running("running_var", channels, 1.0),
            epsilon: EPSILON,
            momentum: MOMENTUM,
        }
    }

    /// With another ε than 1e-5.
    pub(crate) fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// With another momentum than 0.1.
    pub(crate) fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// `activation(bn(x) + residual)`.
    pub(crate) fn forward(&self, x: Maps, residual: Option<Maps>, activation: Activation) -> Maps {
        if x.id().is_some() {
            let weight = self.gamma.id.val() as usize;
            debug_assert_eq!(self.variance.number(), weight + 3, "batch-norm's tensors are neighbours");
            let y = x.apply(|| Op::BatchNorm { weight, epsilon: self.epsilon }, |s| s, |x, _| x);
            let y = match residual {
                Some(residual) => y.add(residual),
                None => y,
            };
            return y.activate(activation);
        }
        let residual = residual.map(Maps::into_tensor);
        x.apply_to(
            || unreachable!("symbols are written down above"),
            |s| s,
            |x, pass| {
                let x = x.into_tensor();
                self.observe(&x, pass);
                match pass.mode_of(self.number()) {
                    Mode::Train => self.by_batch(x.dims(), |gamma, beta| {
                        kernels::batch_norm_train(x, gamma, beta, self.epsilon, residual, activation)
                    }),
                    Mode::Eval => {
                        let (scale, shift) = self.scale_and_shift();
                        kernels::scale_shift(x, scale, shift, residual, activation)
                    }
                }
            },
        )
    }

    /// The number of its first tensor.
    pub(super) fn number(&self) -> usize {
        self.gamma.id.val() as usize
    }

    /// `relu(bn(x))`, for networks that normalise before they convolve.
    pub(crate) fn relu(&self, x: Maps) -> Maps {
        self.forward(x, None, Activation::Relu)
    }

    /// What `norm` makes of gamma and beta, its statistics of `[n, h, w, c]` added to the running ones.
    pub(super) fn by_batch(
        &self,
        [n, h, w, _]: [usize; 4],
        norm: impl FnOnce(Tensor<1>, Tensor<1>) -> BatchNormOutput,
    ) -> Activations {
        let samples = (n * h * w) as f64;
        let out = norm(self.gamma.val(), self.beta.val());
        self.mean.update(out.mean, self.momentum);
        // One value a channel has no unbiased variance; its biased one is 0.
        self.variance.update(out.variance * (samples / (samples - 1.0).max(1.0)), self.momentum);
        out.y
    }

    /// What evaluation mode comes to, `[channels]` each.
    pub(super) fn scale_and_shift(&self) -> (Tensor<1>, Tensor<1>) {
        let scale = self.gamma.val() / (self.variance.value() + self.epsilon).sqrt();
        let shift = self.beta.val() - self.mean.value() * scale.clone();
        (scale, shift)
    }

    fn observe(&self, x: &Tensor<4>, pass: &Pass) {
        let Some(statistics) = &pass.statistics else { return };
        let c = x.dims()[3];
        let mean_of = |t: Tensor<4>| t.mean_dim(2).mean_dim(1).mean_dim(0);
        let mean = mean_of(x.clone());
        let centred = x.clone() - mean.clone();
        statistics.borrow_mut().push(NormStatistics {
            mean: mean.reshape([c]),
            variance: mean_of(centred.clone() * centred).reshape([c]),
            running_mean: self.mean.value(),
            running_variance: self.variance.value(),
        });
    }
}
