//! MobileNetV2 (Sandler et al., CVPR 2018) as in torchvision and timm (`mobilenetv2_100`).

use burn::module::Module;

use super::inverted::{Inverted, LastNames, Norm, Shape};
use crate::nets::layers::{Activation, Builder, ConvBn, DropPath, Kernel, Linear, Maps, Scheme, Spread};

pub(crate) const SCHEME: Scheme =
    Scheme { conv: Spread::FanOut, linear: Spread::Normal(0.01), zero_bias: true };

/// Expansion, output channels, blocks, stride of the first block: a row a stage.
const STAGES: [[usize; 4]; 7] = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
];
const HEAD: usize = 1280;
const DROPOUT: f64 = 0.2;

#[derive(Module, Debug)]
pub(crate) struct MobileNetV2 {
    stem: ConvBn,
    blocks: Vec<Inverted>,
    head: ConvBn,
    classifier: Linear,
}

impl MobileNetV2 {
    pub(crate) fn new(b: &Builder, channels: usize, classes: usize) -> Self {
        let conv_bn = |own: [&str; 2], timm: [&str; 2], kernel| {
            ConvBn::new(b, b.own_or_timm(own[0], timm[0]), b.own_or_timm(own[1], timm[1]), kernel)
        };
        let stem = Kernel::new(3, channels, 32).stride(2);
        let stem = conv_bn(["features.0.0", "features.0.1"], ["conv_stem", "bn1"], stem);
        let mut blocks = Vec::new();
        let mut input = 32;
        for (stage, [expansion, output, repeats, stride]) in STAGES.into_iter().enumerate() {
            for i in 0..repeats {
                let own = format!("features.{}", blocks.len() + 1);
                let b = b.at(b.own_or_timm(&own, &format!("blocks.{stage}.{i}")));
                let shape = Shape {
                    input,
                    expanded: input * expansion,
                    output,
                    side: 3,
                    stride: if i == 0 { stride } else { 1 },
                    activation: Activation::Relu6.into(),
                    excite: None,
                };
                // Published without stochastic depth.
                let path = DropPath { number: blocks.len(), share: 0.0 };
                blocks.push(Inverted::new(&b, ("conv", LastNames::Flat), shape, Norm::DEFAULT, path));
                input = output;
            }
        }
        let head =
            conv_bn(["features.18.0", "features.18.1"], ["conv_head", "bn2"], Kernel::new(1, input, HEAD));
        let classifier = Linear::new(b, b.own_or_timm("classifier.1", "classifier"), HEAD, classes);
        Self { stem, blocks, head, classifier }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let mut x = self.stem.activate(x, Activation::Relu6);
        for block in &self.blocks {
            x = block.forward(x);
        }
        let mut features = self.head.activate(x, Activation::Relu6).global_pool();
        (features.fork(), self.classifier.forward(features.dropout(DROPOUT, 0)))
    }
}
