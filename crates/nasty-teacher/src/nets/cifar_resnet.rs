//! The ResNets of the CIFAR experiments (He et al., CVPR 2016, section 4.2), with the parameter-free shortcuts that the
//! paper calls option A.
//!
//! Stages of 16, 32 and 64 channels with `(depth − 2) / 6` basic blocks each. Where the shape changes, the shortcut
//! takes every second pixel and pads the channels with zero channels on both sides.

use burn::module::Module;

use super::layers::{Builder, ConvBn, Kernel, Linear, Maps, Scheme, Spread};

/// He initialisation of every weight.
pub(crate) const SCHEME: Scheme = Scheme { conv: Spread::FanIn, linear: Spread::FanIn, zero_bias: false };

#[derive(Module, Debug)]
pub(crate) struct CifarResNet {
    stem: ConvBn,
    blocks: Vec<Block>,
    linear: Linear,
}

#[derive(Module, Debug)]
struct Block {
    conv1: ConvBn,
    conv2: ConvBn,
    /// Zero channels on either side of the shortcut's.
    #[module(skip)]
    padding: usize,
    #[module(skip)]
    stride: usize,
}

impl CifarResNet {
    pub(crate) fn new(b: &Builder, depth: usize, channels: usize, classes: usize) -> Self {
        let stem = ConvBn::new(b, "conv1", "bn1", Kernel::new(3, channels, 16));
        let mut blocks = Vec::new();
        let mut input = 16;
        for (stage, width) in [16, 32, 64].into_iter().enumerate() {
            for i in 0..(depth - 2) / 6 {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let b = b.at(format_args!("layer{}.{i}", stage + 1));
                blocks.push(Block::new(&b, input, width, stride));
                input = width;
            }
        }
        Self { stem, blocks, linear: Linear::new(b, "linear", input, classes) }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let mut x = self.stem.relu(x);
        for block in &self.blocks {
            x = block.forward(x);
        }
        let mut features = x.global_pool();
        (features.fork(), self.linear.forward(features))
    }
}

impl Block {
    fn new(b: &Builder, input: usize, width: usize, stride: usize) -> Self {
        Self {
            conv1: ConvBn::new(b, "conv1", "bn1", Kernel::new(3, input, width).stride(stride)),
            conv2: ConvBn::new(b, "conv2", "bn2", Kernel::new(3, width, width)),
            padding: (width - input) / 2,
            stride,
        }
    }

    fn forward(&self, mut x: Maps) -> Maps {
        let shortcut = x.fork().subsample(self.stride).pad_channels(self.padding);
        self.conv2.add_relu(self.conv1.relu(x), shortcut)
    }
}
