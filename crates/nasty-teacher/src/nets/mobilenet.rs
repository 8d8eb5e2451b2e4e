//! MobileNetV2 (Sandler et al., CVPR 2018) for small images, with the peculiarities of the published definition: the
//! stem is a 1×1 convolution with padding 1 (a side of 32 becomes 34, and the border holds the bias), every convolution
//! has a bias, and the classifier is a 1×1 convolution on the pooled features.

use burn::module::Module;

use super::layers::{Activation, Builder, Conv, ConvBn, Kernel, Maps, Scheme};

pub(crate) const SCHEME: Scheme = Scheme::DEFAULT;

/// Blocks, output channels, stride of the first block, expansion: a row a stage.
const STAGES: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [2, 24, 2, 6],
    [3, 32, 2, 6],
    [4, 64, 2, 6],
    [3, 96, 1, 6],
    [3, 160, 1, 6],
    [1, 320, 1, 6],
];

#[derive(Module, Debug)]
pub(crate) struct MobileNetV2 {
    stem: ConvBn,
    blocks: Vec<InvertedResidual>,
    head: ConvBn,
    classifier: Conv,
}

/// Expand, filter each channel, project without activation.
#[derive(Module, Debug)]
struct InvertedResidual {
    expand: ConvBn,
    depthwise: ConvBn,
    project: ConvBn,
    #[module(skip)]
    residual: bool,
}

impl MobileNetV2 {
    pub(crate) fn new(b: &Builder, channels: usize, classes: usize) -> Self {
        let stem = ConvBn::new(b, "pre.0", "pre.1", Kernel::new(1, channels, 32).padding(1).biased());
        let mut blocks = Vec::new();
        let mut input = 32;
        for (stage, [repeats, output, stride, expansion]) in STAGES.into_iter().enumerate() {
            let b = b.at(format_args!("stage{}", stage + 1));
            for i in 0..repeats {
                // Stages of one block are that block, not a list of one.
                let b = if repeats == 1 { b.clone() } else { b.at(i) };
                let stride = if i == 0 { stride } else { 1 };
                blocks.push(InvertedResidual::new(&b.at("residual"), input, output, stride, expansion));
                input = output;
            }
        }
        Self {
            stem,
            blocks,
            head: ConvBn::new(b, "conv1.0", "conv1.1", Kernel::new(1, input, 1280).biased()),
            classifier: Conv::new(b, "conv2", Kernel::new(1, 1280, classes).biased()),
        }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let mut x = self.stem.activate(x, Activation::Relu6);
        for block in &self.blocks {
            x = block.forward(x);
        }
        let mut features = self.head.activate(x, Activation::Relu6).global_pool();
        (features.fork(), self.classifier.forward(features))
    }
}

impl InvertedResidual {
    fn new(b: &Builder, input: usize, output: usize, stride: usize, expansion: usize) -> Self {
        let width = input * expansion;
        let depthwise = Kernel::new(3, width, width).stride(stride).groups(width).biased();
        Self {
            expand: ConvBn::new(b, "0", "1", Kernel::new(1, input, width).biased()),
            depthwise: ConvBn::new(b, "3", "4", depthwise),
            project: ConvBn::new(b, "6", "7", Kernel::new(1, width, output).biased()),
            residual: stride == 1 && input == output,
        }
    }

    fn forward(&self, mut x: Maps) -> Maps {
        let shortcut = self.residual.then(|| x.fork());
        let y = self.expand.activate(x, Activation::Relu6);
        let y = self.depthwise.activate(y, Activation::Relu6);
        match shortcut {
            Some(shortcut) => self.project.add(y, shortcut),
            None => self.project.forward(y),
        }
    }
}
