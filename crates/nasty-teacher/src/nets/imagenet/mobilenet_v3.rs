//! MobileNetV3, small and large (Howard et al., ICCV 2019). torchvision's batch-norms have ε = 1e-3 and momentum 0.01;
//! timm's `mobilenetv3_small_100` and `mobilenetv3_large_100` use PyTorch's defaults. The tensors are the same, the
//! functions differ.

use burn::module::Module;

use super::inverted::{Excite, Inverted, LastNames, Norm, Shape};
use crate::nets::layers::{
    Activation, Builder, Conv, ConvBn, Curve, DropPath, Kernel, Linear, Maps, Scheme, Spelling, Spread,
};

/// torchvision's; timm's differs in depthwise weights.
pub(crate) const SCHEME: Scheme =
    Scheme { conv: Spread::FanOut, linear: Spread::Normal(0.01), zero_bias: true };

const DROPOUT: f64 = 0.2;

/// A block: depthwise side, expanded and output channels, squeeze and excitation, hard-swish (else ReLU), stride; and
/// timm's number of its stage.
type Row = (usize, usize, usize, bool, bool, usize, usize);

const LARGE: &[Row] = &[
    (3, 16, 16, false, false, 1, 0),
    (3, 64, 24, false, false, 2, 1),
    (3, 72, 24, false, false, 1, 1),
    (5, 72, 40, true, false, 2, 2),
    (5, 120, 40, true, false, 1, 2),
    (5, 120, 40, true, false, 1, 2),
    (3, 240, 80, false, true, 2, 3),
    (3, 200, 80, false, true, 1, 3),
    (3, 184, 80, false, true, 1, 3),
    (3, 184, 80, false, true, 1, 3),
    (3, 480, 112, true, true, 1, 4),
    (3, 672, 112, true, true, 1, 4),
    (5, 672, 160, true, true, 2, 5),
    (5, 960, 160, true, true, 1, 5),
    (5, 960, 160, true, true, 1, 5),
];

const SMALL: &[Row] = &[
    (3, 16, 16, true, false, 2, 0),
    (3, 72, 24, false, false, 2, 1),
    (3, 88, 24, false, false, 1, 1),
    (5, 96, 40, true, true, 2, 2),
    (5, 240, 40, true, true, 1, 2),
    (5, 240, 40, true, true, 1, 2),
    (5, 120, 48, true, true, 1, 3),
    (5, 144, 48, true, true, 1, 3),
    (5, 288, 96, true, true, 2, 4),
    (5, 576, 96, true, true, 1, 4),
    (5, 576, 96, true, true, 1, 4),
];

/// What the family's members differ in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Size {
    Small,
    Large,
}

#[derive(Module, Debug)]
pub(crate) struct MobileNetV3 {
    stem: ConvBn,
    blocks: Vec<Inverted>,
    head: ConvBn,
    hidden: Hidden,
    classifier: Linear,
}

/// The layer on the pooled features: a linear one in torchvision, a 1×1 convolution in timm.
#[derive(Module, Debug)]
enum Hidden {
    Linear(Linear),
    Conv(Conv),
}

impl MobileNetV3 {
    /// `timm` chooses timm's function, whose tensors have timm's names.
    pub(crate) fn new(b: &Builder, size: Size, timm: bool, channels: usize, classes: usize) -> Self {
        let (rows, width) = match size {
            Size::Small => (SMALL, 1024),
            Size::Large => (LARGE, 1280),
        };
        let norm = if timm { Norm::DEFAULT } else { Norm(1e-3, 0.01) };
        let by_timm = b.spelling() == Spelling::Timm;
        let [conv, bn] = if by_timm { ["conv_stem", "bn1"] } else { ["features.0.0", "features.0.1"] };
        let stem = norm.conv_bn(b, conv, bn, Kernel::new(3, channels, 16).stride(2));
        let mut blocks = Vec::new();
        let (mut input, mut stage, mut place) = (16, 0, 0);
        for &(side, expanded, output, excites, hard_swish, stride, of_stage) in rows {
            if of_stage != stage {
                (stage, place) = (of_stage, 0);
            }
            let own = format!("features.{}", blocks.len() + 1);
            let b = b.at(b.own_or_timm(&own, &format!("blocks.{stage}.{place}")));
            let activation = if hard_swish { Curve::HardSwish.into() } else { Activation::Relu.into() };
            let excite = excites.then(|| Excite {
                squeezed: divisible(expanded / 4),
                activation: Activation::Relu.into(),
                gate: Curve::HardSigmoid,
            });
            let shape = Shape { input, expanded, output, side, stride, activation, excite };
            // Published without stochastic depth.
            let path = DropPath { number: blocks.len(), share: 0.0 };
            blocks.push(Inverted::new(&b, ("block", LastNames::Nested), shape, norm, path));
            (input, place) = (output, place + 1);
        }
        let own = format!("features.{}", rows.len() + 1);
        let head = b.at(b.own_or_timm(&own, &format!("blocks.{}.0", stage + 1)));
        let [conv, bn] = if by_timm { ["conv", "bn1"] } else { ["0", "1"] };
        let head = norm.conv_bn(&head, conv, bn, Kernel::new(1, input, 6 * input));
        let hidden = if timm {
            Hidden::Conv(Conv::new(b, "conv_head", Kernel::new(1, 6 * input, width).biased()))
        } else {
            Hidden::Linear(Linear::new(b, "classifier.0", 6 * input, width))
        };
        let classifier = Linear::new(b, b.own_or_timm("classifier.3", "classifier"), width, classes);
        Self { stem, blocks, head, hidden, classifier }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let mut x = self.stem.activate(x, Curve::HardSwish);
        for block in &self.blocks {
            x = block.forward(x);
        }
        let pooled = self.head.activate(x, Curve::HardSwish).global_pool();
        let hidden = match &self.hidden {
            Hidden::Linear(linear) => linear.forward(pooled),
            Hidden::Conv(conv) => conv.forward(pooled),
        };
        let mut features = hidden.curve(Curve::HardSwish);
        (features.fork(), self.classifier.forward(features.dropout(DROPOUT, 0)))
    }
}

/// The nearest multiple of 8, at least 8 and at least nine tenths of `channels`.
fn divisible(channels: usize) -> usize {
    let near = ((channels + 4) / 8 * 8).max(8);
    if 10 * near < 9 * channels { near + 8 } else { near }
}
