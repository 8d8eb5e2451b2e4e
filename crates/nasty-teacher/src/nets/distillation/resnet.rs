//! CIFAR ResNets (He et al., CVPR 2016, section 4.2) with projection shortcuts, the paper's option B: a 1×1 convolution and
//! batch-norm wherever the shape changes.

use burn::module::Module;

use crate::nets::layers::{Builder, ConvBn, Kernel, Linear, Maps, Scheme, Spread};
use crate::nets::resnet::{Block, BlockKind, BlockShape};

pub(crate) const SCHEME: Scheme = Scheme { conv: Spread::FanOut, linear: Spread::Default, zero_bias: false };

#[derive(Module, Debug)]
pub(crate) struct ResNet {
    stem: ConvBn,
    blocks: Vec<Block>,
    fc: Linear,
}

impl ResNet {
    /// `widths`: channels of the stem and of the three stages.
    pub(crate) fn new(
        b: &Builder,
        depth: usize,
        [stem, widths @ ..]: [usize; 4],
        channels: usize,
        classes: usize,
    ) -> Self {
        let mut input = stem;
        let stem = ConvBn::new(b, "conv1", "bn1", Kernel::new(3, channels, stem));
        let mut blocks = Vec::new();
        for (stage, width) in widths.into_iter().enumerate() {
            for i in 0..(depth - 2) / 6 {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let b = b.at(format_args!("layer{}.{i}", stage + 1));
                let kind = BlockKind::Basic;
                let shape = BlockShape { kind, input, width, output: width, stride, groups: 1 };
                blocks.push(Block::new(&b, shape, "downsample"));
                input = width;
            }
        }
        Self { stem, blocks, fc: Linear::new(b, "fc", input, classes) }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let mut x = self.stem.relu(x);
        for block in &self.blocks {
            x = block.forward(x);
        }
        let mut features = x.final_pool();
        (features.fork(), self.fc.forward(features))
    }
}
