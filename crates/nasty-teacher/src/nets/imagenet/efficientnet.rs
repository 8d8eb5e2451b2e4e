//! EfficientNet-B0 (Tan & Le, ICML 2019) as in torchvision and timm (`efficientnet_b0`). The weights converted from
//! TensorFlow (timm's `tf_efficientnet_b0`) have the same tensors, but are a different function.

use burn::module::Module;

use super::inverted::{Excite, Inverted, LastNames, Norm, Shape};
use crate::nets::layers::{Builder, ConvBn, Curve, DropPath, Kernel, Linear, Maps, Scheme, Spread};

pub(crate) const SCHEME: Scheme = Scheme { conv: Spread::FanOut, linear: Spread::OutBound, zero_bias: true };

/// Expansion, depthwise side, stride of the first block, output channels, blocks: a row a stage.
const STAGES: [[usize; 5]; 7] = [
    [1, 3, 1, 16, 1],
    [6, 3, 2, 24, 2],
    [6, 5, 2, 40, 2],
    [6, 3, 2, 80, 3],
    [6, 5, 1, 112, 3],
    [6, 5, 2, 192, 4],
    [6, 3, 1, 320, 1],
];
const HEAD: usize = 1280;
const DROPOUT: f64 = 0.2;

#[derive(Module, Debug)]
pub(crate) struct EfficientNet {
    stem: ConvBn,
    blocks: Vec<Inverted>,
    head: ConvBn,
    classifier: Linear,
}

impl EfficientNet {
    pub(crate) fn new(b: &Builder, channels: usize, classes: usize) -> Self {
        let conv_bn = |own: [&str; 2], timm: [&str; 2], kernel| {
            ConvBn::new(b, b.own_or_timm(own[0], timm[0]), b.own_or_timm(own[1], timm[1]), kernel)
        };
        let stem = Kernel::new(3, channels, 32).stride(2);
        let stem = conv_bn(["features.0.0", "features.0.1"], ["conv_stem", "bn1"], stem);
        let all: usize = STAGES.iter().map(|stage| stage[4]).sum();
        let mut blocks = Vec::new();
        let mut input = 32;
        for (stage, [expansion, side, stride, output, repeats]) in STAGES.into_iter().enumerate() {
            for i in 0..repeats {
                let own = format!("features.{}.{i}", stage + 1);
                let b = b.at(b.own_or_timm(&own, &format!("blocks.{stage}.{i}")));
                let excite =
                    Excite { squeezed: input / 4, activation: Curve::Silu.into(), gate: Curve::Sigmoid };
                let shape = Shape {
                    input,
                    expanded: input * expansion,
                    output,
                    side,
                    stride: if i == 0 { stride } else { 1 },
                    activation: Curve::Silu.into(),
                    excite: Some(excite),
                };
                let number = blocks.len();
                let path = DropPath { number, share: number as f64 / all as f64 };
                blocks.push(Inverted::new(&b, ("block", LastNames::Nested), shape, Norm::DEFAULT, path));
                input = output;
            }
        }
        let head =
            conv_bn(["features.8.0", "features.8.1"], ["conv_head", "bn2"], Kernel::new(1, input, HEAD));
        let classifier = Linear::new(b, b.own_or_timm("classifier.1", "classifier"), HEAD, classes);
        Self { stem, blocks, head, classifier }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let mut x = self.stem.activate(x, Curve::Silu);
        for block in &self.blocks {
            x = block.forward(x);
        }
        let mut features = self.head.activate(x, Curve::Silu).global_pool();
        (features.fork(), self.classifier.forward(features.dropout(DROPOUT, 0)))
    }
}
