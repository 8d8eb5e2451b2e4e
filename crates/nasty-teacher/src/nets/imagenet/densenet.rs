//! DenseNet-121 (Huang et al., CVPR 2017) as in torchvision and timm.

use burn::module::Module;

use super::stem::STEM_POOL;
use crate::nets::layers::{BatchNorm, Builder, Conv, ConvBn, Kernel, Linear, Maps, Scheme, Spelling, Spread};

pub(crate) const SCHEME: Scheme = Scheme { conv: Spread::FanIn, linear: Spread::Default, zero_bias: true };

const GROWTH: usize = 32;
const DEPTHS: [usize; 4] = [6, 12, 24, 16];
const STEM: usize = 64;

#[derive(Module, Debug)]
pub(crate) struct DenseNet {
    stem: ConvBn,
    blocks: Vec<DenseBlock>,
    norm: BatchNorm,
    classifier: Linear,
}

/// Layers that each see what all before them gave, and what leads to the next block.
#[derive(Module, Debug)]
struct DenseBlock {
    layers: Vec<DenseLayer>,
    transition: Option<Transition>,
}

#[derive(Module, Debug)]
struct DenseLayer {
    norm: BatchNorm,
    reduce: ConvBn,
    conv: Conv,
}

/// Half the channels at half the side.
#[derive(Module, Debug)]
struct Transition {
    norm: BatchNorm,
    conv: Conv,
}

impl DenseNet {
    pub(crate) fn new(b: &Builder, channels: usize, classes: usize) -> Self {
        let features = b.at("features");
        let stem = ConvBn::new(&features, "conv0", "norm0", Kernel::new(7, channels, STEM).stride(2));
        let [norm1, conv1, norm2, conv2] = match b.spelling() {
            Spelling::Dotted => ["norm.1", "conv.1", "norm.2", "conv.2"],
            _ => ["norm1", "conv1", "norm2", "conv2"],
        };
        let mut width = STEM;
        let mut blocks = Vec::new();
        for (block, depth) in DEPTHS.into_iter().enumerate() {
            let b = features.at(format_args!("denseblock{}", block + 1));
            let mut layers = Vec::new();
            for i in 0..depth {
                let b = b.at(format_args!("denselayer{}", i + 1));
                layers.push(DenseLayer {
                    norm: BatchNorm::new(&b, norm1, width),
                    reduce: ConvBn::new(&b, conv1, norm2, Kernel::new(1, width, 4 * GROWTH)),
                    conv: Conv::new(&b, conv2, Kernel::new(3, 4 * GROWTH, GROWTH)),
                });
                width += GROWTH;
            }
            let transition = (block + 1 < DEPTHS.len()).then(|| {
                let b = features.at(format_args!("transition{}", block + 1));
                let norm = BatchNorm::new(&b, "norm", width);
                width /= 2;
                Transition { norm, conv: Conv::new(&b, "conv", Kernel::new(1, 2 * width, width)) }
            });
            blocks.push(DenseBlock { layers, transition });
        }
        let norm = BatchNorm::new(&features, "norm5", width);
        Self { stem, blocks, norm, classifier: Linear::new(b, "classifier", width, classes) }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let mut x = self.stem.relu(x).max_pool_windows(STEM_POOL);
        for block in &self.blocks {
            for DenseLayer { norm, reduce, conv } in &block.layers {
                let y = conv.forward(reduce.relu(norm.relu(x.fork())));
                x = x.concat(y);
            }
            if let Some(Transition { norm, conv }) = &block.transition {
                x = conv.forward(norm.relu(x)).avg_pool(2, 2);
            }
        }
        let mut features = self.norm.relu(x).global_pool();
        (features.fork(), self.classifier.forward(features))
    }
}
