//! ResNeXt-29, 8×64d (Xie et al., CVPR 2017): three stages of three bottlenecks whose 3×3 convolution has 8 groups of
//! 64, 128 and 256 channels; 256, 512 and 1024 channels between them.
//!
//! The published definition ends in an 8×8 average pool with stride 1, so it only works at sides whose last maps are
//! 8×8. Here the mean over the whole map, which is the same for those, is used for every side.

use burn::module::Module;

use super::layers::{Builder, ConvBn, Kernel, Linear, Maps, Scheme, Spread};

const CARDINALITY: usize = 8;
const BASE_WIDTH: usize = 64;

/// He initialisation, convolutions by their outputs; biases 0, as published.
pub(crate) const SCHEME: Scheme = Scheme { conv: Spread::FanOut, linear: Spread::FanIn, zero_bias: true };

#[derive(Module, Debug)]
pub(crate) struct ResNext {
    stem: ConvBn,
    blocks: Vec<Block>,
    classifier: Linear,
}

#[derive(Module, Debug)]
struct Block {
    reduce: ConvBn,
    conv: ConvBn,
    expand: ConvBn,
    shortcut: Option<ConvBn>,
}

impl ResNext {
    pub(crate) fn new(b: &Builder, channels: usize, classes: usize) -> Self {
        let stem = ConvBn::new(b, "conv_1_3x3", "bn_1", Kernel::new(3, channels, 64));
        let mut blocks = Vec::new();
        let mut input = 64;
        for stage in 1..=3 {
            let width = (CARDINALITY * BASE_WIDTH) << (stage - 1);
            let output = 128 << stage;
            for i in 0..3 {
                let stride = if stage > 1 && i == 0 { 2 } else { 1 };
                let b = b.at(format_args!("stage_{stage}.stage_{stage}_bottleneck_{i}"));
                blocks.push(Block::new(&b, [input, width, output], stride));
                input = output;
            }
        }
        Self { stem, blocks, classifier: Linear::new(b, "classifier", input, classes) }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let mut x = self.stem.relu(x);
        for block in &self.blocks {
            x = block.forward(x);
        }
        let mut features = x.global_pool();
        (features.fork(), self.classifier.forward(features))
    }
}

impl Block {
    fn new(b: &Builder, [input, width, output]: [usize; 3], stride: usize) -> Self {
        let grouped = Kernel::new(3, width, width).stride(stride).groups(CARDINALITY);
        Self {
            reduce: ConvBn::new(b, "conv_reduce", "bn_reduce", Kernel::new(1, input, width)),
            conv: ConvBn::new(b, "conv_conv", "bn", grouped),
            expand: ConvBn::new(b, "conv_expand", "bn_expand", Kernel::new(1, width, output)),
            shortcut: (input != output).then(|| {
                let kernel = Kernel::new(1, input, output).stride(stride);
                ConvBn::new(&b.at("shortcut"), "shortcut_conv", "shortcut_bn", kernel)
            }),
        }
    }

    fn forward(&self, mut x: Maps) -> Maps {
        let shortcut = match &self.shortcut {
            Some(conv) => conv.forward(x.fork()),
            None => x.fork(),
        };
        self.expand.add_relu(self.conv.relu(self.reduce.relu(x)), shortcut)
    }
}
