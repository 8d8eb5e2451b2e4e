//! Pre-activation ResNets for CIFAR (He et al., ECCV 2016): the paper's ResNetC-20 and -32, and deeper ones.
//!
//! Stages of 16, 32 and 64 channels; basic blocks below depth 44, bottlenecks (×4) from depth 44; `(depth − 2) / 6`
//! blocks per stage in both. Shortcuts are plain 1×1 convolutions of the raw input.

use burn::module::Module;

use super::layers::{BatchNorm, Builder, Conv, Kernel, Linear, Maps, Scheme, Spread};

/// Convolutions from N(0, 2 / (k² C_out)), as published.
pub(crate) const SCHEME: Scheme = Scheme { conv: Spread::FanOut, linear: Spread::Default, zero_bias: false };

#[derive(Module, Debug)]
pub(crate) struct PreResNet {
    stem: Conv,
    blocks: Vec<Block>,
    norm: BatchNorm,
    fc: Linear,
}

/// Batch-norm, ReLU and convolution, two or three times, added to the shortcut.
#[derive(Module, Debug)]
struct Block {
    norms: Vec<BatchNorm>,
    convs: Vec<Conv>,
    downsample: Option<Conv>,
}

impl PreResNet {
    pub(crate) fn new(b: &Builder, depth: usize, channels: usize, classes: usize) -> Self {
        let expansion = if depth >= 44 { 4 } else { 1 };
        let stem = Conv::new(b, "conv1", Kernel::new(3, channels, 16));
        let mut blocks = Vec::new();
        let mut input = 16;
        for (stage, width) in [16, 32, 64].into_iter().enumerate() {
            for i in 0..(depth - 2) / 6 {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let b = b.at(format_args!("layer{}.{i}", stage + 1));
                blocks.push(Block::new(&b, input, width, expansion, stride));
                input = width * expansion;
            }
        }
        Self { stem, blocks, norm: BatchNorm::new(b, "bn", input), fc: Linear::new(b, "fc", input, classes) }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let mut x = self.stem.forward(x);
        for block in &self.blocks {
            x = block.forward(x);
        }
        let mut features = self.norm.relu(x).final_pool();
        (features.fork(), self.fc.forward(features))
    }
}

impl Block {
    fn new(b: &Builder, input: usize, width: usize, expansion: usize, stride: usize) -> Self {
        let output = width * expansion;
        let kernels = if expansion == 1 {
            vec![Kernel::new(3, input, width).stride(stride), Kernel::new(3, width, width)]
        } else {
            vec![
                Kernel::new(1, input, width),
                Kernel::new(3, width, width).stride(stride),
                Kernel::new(1, width, output),
            ]
        };
        let (mut norms, mut convs) = (Vec::new(), Vec::new());
        for (i, kernel) in kernels.into_iter().enumerate() {
            norms.push(BatchNorm::new(b, &format!("bn{}", i + 1), if i == 0 { input } else { width }));
            convs.push(Conv::new(b, &format!("conv{}", i + 1), kernel));
        }
        let downsample = (stride > 1 || input != output)
            .then(|| Conv::new(b, "downsample.0", Kernel::new(1, input, output).stride(stride)));
        Self { norms, convs, downsample }
    }

    fn forward(&self, mut x: Maps) -> Maps {
        let shortcut = match &self.downsample {
            Some(conv) => conv.forward(x.fork()),
            None => x.fork(),
        };
        let mut y = x;
        for (norm, conv) in self.norms.iter().zip(&self.convs) {
            y = conv.forward(norm.relu(y));
        }
        y.add(shortcut)
    }
}
