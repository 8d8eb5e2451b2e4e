//! The paper's plain convolutional network: three rounds of 3×3 convolution, batch-norm, 2×2 max pool and ReLU with
//! w, 2w and 4w channels, then a hidden layer of 4w with batch-norm and ReLU.

use burn::module::Module;

use super::Input;
use super::layers::{Activation, BatchNorm, Builder, ConvBn, Kernel, Linear, Maps, Scheme};

pub(crate) const SCHEME: Scheme = Scheme::DEFAULT;

#[derive(Module, Debug)]
pub(crate) struct Cnn {
    convs: Vec<ConvBn>,
    fc1: Linear,
    fcbn1: BatchNorm,
    fc2: Linear,
}

impl Cnn {
    pub(crate) fn new(b: &Builder, width: usize, input: Input, classes: usize) -> Self {
        let channels = [input.channels, width, 2 * width, 4 * width];
        let conv = |i: usize| {
            let kernel = Kernel::new(3, channels[i - 1], channels[i]).biased();
            ConvBn::new(b, &format!("conv{i}"), &format!("bn{i}"), kernel)
        };
        let convs = (1..=3).map(conv).collect();
        let hidden = 4 * width;
        let side = input.side / 8;
        Self {
            convs,
            fc1: Linear::new(b, "fc1", hidden * side * side, hidden),
            fcbn1: BatchNorm::new(b, "fcbn1", hidden),
            fc2: Linear::new(b, "fc2", hidden, classes),
        }
    }

    /// Features (the hidden layer) and logits.
    pub(crate) fn forward(&self, mut x: Maps) -> (Maps, Maps) {
        for conv in &self.convs {
            x = conv.forward(x).max_pool(2).activate(Activation::Relu);
        }
        let mut features = self.fcbn1.relu(self.fc1.forward(x.flatten()));
        (features.fork(), self.fc2.forward(features))
    }
}
