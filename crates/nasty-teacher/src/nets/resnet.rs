//! ResNets (He et al., CVPR 2016) with a stem for small images: one 3×3 convolution, no pooling.
//!
//! Four stages of 64 to 512 channels, strides 1, 2, 2, 2; shortcuts that change shape are a 1×1 convolution with
//! batch-norm; bottlenecks (×4) have their stride on the 3×3 convolution.

use burn::module::Module;

use super::layers::{Builder, ConvBn, Kernel, Linear, Maps, Scheme, Spelling};

pub(crate) const SCHEME: Scheme = Scheme::DEFAULT;

/// Which block a ResNet is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockKind {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3 and 1×1 convolutions; the last one is wider.
    Bottleneck,
}

/// A block's measures.
#[derive(Clone, Copy)]
pub(crate) struct BlockShape {
    pub(crate) kind: BlockKind,
    pub(crate) input: usize,
    /// Channels inside.
    pub(crate) width: usize,
    pub(crate) output: usize,
    pub(crate) stride: usize,
    /// Groups of a bottleneck's 3×3 convolution.
    pub(crate) groups: usize,
}

#[derive(Module, Debug)]
pub(crate) struct ResNet {
    stem: ConvBn,
    blocks: Vec<Block>,
    linear: Linear,
}

/// Convolutions beside a shortcut, ReLU behind their sum.
#[derive(Module, Debug)]
pub(crate) struct Block {
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
        let cifar100 = b.spelling() == Spelling::Cifar100;
        let [conv, norm, linear] =
            if cifar100 { ["conv1.0", "conv1.1", "fc"] } else { ["conv1", "bn1", "linear"] };
        let stem = ConvBn::new(b, conv, norm, Kernel::new(3, channels, 64));
        let mut blocks = Vec::new();
        let mut input = 64;
        for (stage, depth) in depths.into_iter().enumerate() {
            let width = 64 << stage;
            for i in 0..depth {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let b = if cifar100 {
                    b.at(format_args!("conv{}_x.{i}", stage + 2))
                } else {
                    b.at(format_args!("layer{}.{i}", stage + 1))
                };
                let output = if kind == BlockKind::Basic { width } else { 4 * width };
                let shape = BlockShape { kind, input, width, output, stride, groups: 1 };
                blocks.push(Block::new(&b, shape, "shortcut"));
                input = output;
            }
        }
        Self { stem, blocks, linear: Linear::new(b, linear, input, classes) }
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
    /// The shortcut's tensors are named `<shortcut>.0` and `<shortcut>.1`.
    pub(crate) fn new(b: &Builder, shape: BlockShape, shortcut: &str) -> Self {
        let BlockShape { kind, input, width, output, stride, groups } = shape;
        let kernels = match kind {
            BlockKind::Basic => {
                vec![Kernel::new(3, input, width).stride(stride), Kernel::new(3, width, output)]
            }
            BlockKind::Bottleneck => vec![
                Kernel::new(1, input, width),
                Kernel::new(3, width, width).stride(stride).groups(groups),
                Kernel::new(1, width, output),
            ],
        };
        let name = |i: usize| match b.spelling() {
            // A sequence of convolution, batch-norm and ReLU.
            Spelling::Cifar100 => [3 * i, 3 * i + 1].map(|at| format!("residual_function.{at}")),
            _ => ["conv", "bn"].map(|kind| format!("{kind}{}", i + 1)),
        };
        let convs = kernels.into_iter().enumerate().map(|(i, kernel)| {
            let [conv, norm] = name(i);
            ConvBn::new(b, &conv, &norm, kernel)
        });
        let convs = convs.collect();
        let shortcut = (stride > 1 || input != output).then(|| {
            let kernel = Kernel::new(1, input, output).stride(stride);
            ConvBn::new(b, &format!("{shortcut}.0"), &format!("{shortcut}.1"), kernel)
        });
        Self { convs, shortcut }
    }

    pub(crate) fn forward(&self, mut x: Maps) -> Maps {
        let shortcut = match &self.shortcut {
            Some(conv) => conv.forward(x.fork()),
            None => x.fork(),
        };
        let (last, first) = self.convs.split_last().expect("a block has convolutions");
        let y = first.iter().fold(x, |y, conv| conv.relu(y));
        last.add_relu(y, shortcut)
    }
}
