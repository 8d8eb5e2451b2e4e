//! Three fully connected layers on the pixels, each followed by ReLU. The published definition also has a ReLU after
//! the logits, so they are never negative.

use burn::module::Module;

use super::Input;
use super::layers::{Activation, Builder, Linear, Maps, Scheme};

const HIDDEN: usize = 512;

pub(crate) const SCHEME: Scheme = Scheme::DEFAULT;

#[derive(Module, Debug)]
pub(crate) struct Mlp {
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl Mlp {
    pub(crate) fn new(b: &Builder, input: Input, classes: usize) -> Self {
        Self {
            fc1: Linear::new(b, "fc1", input.channels * input.side * input.side, HIDDEN),
            fc2: Linear::new(b, "fc2", HIDDEN, HIDDEN),
            fc3: Linear::new(b, "fc3", HIDDEN, classes),
        }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let x = self.fc1.forward(x.flatten()).activate(Activation::Relu);
        let mut features = self.fc2.forward(x).activate(Activation::Relu);
        (features.fork(), self.fc3.forward(features).activate(Activation::Relu))
    }
}
