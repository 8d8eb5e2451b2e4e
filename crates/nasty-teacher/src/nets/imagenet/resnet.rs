//! ResNets (He et al., CVPR 2016), Wide ResNet-50-2 (Zagoruyko & Komodakis, BMVC 2016) and ResNeXt-50 (Xie et al.,
//! CVPR 2017): a 7×7 stem with stride 2 and a 3×3 max pool with stride 2, then four stages; bottlenecks have their stride
//! on the 3×3 convolution ("version 1.5").

use burn::module::Module;

use super::stem::STEM_POOL;
use crate::nets::layers::{Builder, ConvBn, Kernel, Linear, Maps, Scheme, Spread};
use crate::nets::resnet::{Block, BlockKind, BlockShape};

pub(crate) const SCHEME: Scheme = Scheme { conv: Spread::FanOut, linear: Spread::Default, zero_bias: false };

/// What the family's members differ in.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) kind: BlockKind,
    pub(crate) depths: [usize; 4],
    /// Groups of a bottleneck's 3×3 convolution.
    pub(crate) groups: usize,
    /// Channels of each group in the first stage.
    pub(crate) width: usize,
}

impl Plan {
    pub(crate) const fn basic(depths: [usize; 4]) -> Self {
        Self { kind: BlockKind::Basic, depths, groups: 1, width: 64 }
    }

    pub(crate) const fn bottleneck(depths: [usize; 4]) -> Self {
        Self { kind: BlockKind::Bottleneck, depths, groups: 1, width: 64 }
    }
}

#[derive(Module, Debug)]
pub(crate) struct ResNet {
    stem: ConvBn,
    blocks: Vec<Block>,
    fc: Linear,
}

impl ResNet {
    pub(crate) fn new(b: &Builder, plan: Plan, channels: usize, classes: usize) -> Self {
        let Plan { kind, depths, groups, width } = plan;
        let stem = ConvBn::new(b, "conv1", "bn1", Kernel::new(7, channels, 64).stride(2));
        let mut blocks = Vec::new();
        let mut input = 64;
        for (stage, depth) in depths.into_iter().enumerate() {
            let (width, output) = match kind {
                BlockKind::Basic => (64 << stage, 64 << stage),
                BlockKind::Bottleneck => ((width * groups) << stage, 256 << stage),
            };
            for i in 0..depth {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let b = b.at(format_args!("layer{}.{i}", stage + 1));
                let shape = BlockShape { kind, input, width, output, stride, groups };
                blocks.push(Block::new(&b, shape, "downsample"));
                input = output;
            }
        }
        Self { stem, blocks, fc: Linear::new(b, "fc", input, classes) }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let mut x = self.stem.relu(x).max_pool_windows(STEM_POOL);
        for block in &self.blocks {
            x = block.forward(x);
        }
        let mut features = x.global_pool();
        (features.fork(), self.fc.forward(features))
    }
}
