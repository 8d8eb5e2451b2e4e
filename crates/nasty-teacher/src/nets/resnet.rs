//! ResNets (He et al., CVPR 2016) with a stem for small images: one 3×3 convolution, no pooling.
//!
//! Four stages of 64 to 512 channels, strides 1, 2, 2, 2; shortcuts that change shape are a 1×1 convolution with
//! batch-norm; bottlenecks (×4) have their stride on the 3×3 convolution.

use burn::module::Module;

use super::layers::{Builder, ConvBn, Kernel, Linear, Maps, Scheme};

pub(crate) const SCHEME: Scheme = Scheme::DEFAULT;

/// Which block a ResNet is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockKind {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3 and 1×1 convolutions, the last one four times as wide.
    Bottleneck,
}

#[derive(Module, Debug)]
pub(crate) struct ResNet {
    stem: ConvBn,
    blocks: Vec<Block>,
    linear: Linear,
}

#[derive(Module, Debug)]
struct Block {
    convs: Vec<ConvBn>,
    shortcut: Option<ConvBn>,
}

impl ResNet {
    pub(crate) fn new(
        b: &Builder,
        kind: BlockKind,
        depths: [usize; 4],
        channels: usize,
        classes: usize,
    ) -> Self {
        let stem = ConvBn::new(b, "conv1", "bn1", Kernel::new(3, channels, 64));
        let mut blocks = Vec::new();
        let mut input = 64;
        for (stage, depth) in depths.into_iter().enumerate() {
            let width = 64 << stage;
            for i in 0..depth {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let b = b.at(format_args!("layer{}.{i}", stage + 1));
                let output = if kind == BlockKind::Basic { width } else { 4 * width };
                blocks.push(Block::new(&b, kind, [input, width, output], stride));
                input = output;
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
    fn new(b: &Builder, kind: BlockKind, [input, width, output]: [usize; 3], stride: usize) -> Self {
        let kernels = match kind {
            BlockKind::Basic => {
                vec![Kernel::new(3, input, width).stride(stride), Kernel::new(3, width, output)]
            }
            BlockKind::Bottleneck => vec![
                Kernel::new(1, input, width),
                Kernel::new(3, width, width).stride(stride),
                Kernel::new(1, width, output),
            ],
        };
        let convs = kernels
            .into_iter()
            .enumerate()
            .map(|(i, kernel)| ConvBn::new(b, &format!("conv{}", i + 1), &format!("bn{}", i + 1), kernel))
            .collect();
        let shortcut = (stride > 1 || input != output).then(|| {
            ConvBn::new(b, "shortcut.0", "shortcut.1", Kernel::new(1, input, output).stride(stride))
        });
        Self { convs, shortcut }
    }

    fn forward(&self, mut x: Maps) -> Maps {
        let shortcut = match &self.shortcut {
            Some(conv) => conv.forward(x.fork()),
            None => x.fork(),
        };
        let (last, first) = self.convs.split_last().expect("a block has convolutions");
        let y = first.iter().fold(x, |y, conv| conv.relu(y));
        last.add_relu(y, shortcut)
    }
}
