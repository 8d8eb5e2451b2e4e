//! Gates of channels.

use burn::module::Module;
use nasty_kernels::Curve;

use super::{AnyActivation, Builder, Conv, Kernel, Maps};

/// Squeeze and excitation (Hu et al., CVPR 2018): factors of the channels from their means, by two 1×1 convolutions.
#[derive(Module, Debug)]
pub(crate) struct SqueezeExcite {
    reduce: Conv,
    expand: Conv,
    #[module(skip)]
    activation: AnyActivation,
    #[module(skip)]
    gate: Curve,
}

impl SqueezeExcite {
    /// Its convolutions are called `names`; `activation` is between them, `gate` behind both.
    pub(crate) fn new(
        b: &Builder,
        names: [&str; 2],
        [channels, squeezed]: [usize; 2],
        activation: AnyActivation,
        gate: Curve,
    ) -> Self {
        Self {
            reduce: Conv::new(b, names[0], Kernel::new(1, channels, squeezed).biased()),
            expand: Conv::new(b, names[1], Kernel::new(1, squeezed, channels).biased()),
            activation,
            gate,
        }
    }

    pub(crate) fn forward(&self, mut x: Maps) -> Maps {
        let means = x.fork().global_pool();
        let squeezed = self.reduce.forward(means).activate(self.activation);
        x.gate(self.expand.forward(squeezed).curve(self.gate))
    }
}
