//! DenseNets with bottlenecks and compression ½ (Huang et al., CVPR 2017) for small images: the stem is one 3×3
//! convolution without pooling. As published, transitions have no ReLU between batch-norm and convolution.

use burn::module::Module;

use super::layers::{Activation, BatchNorm, Builder, Conv, ConvBn, Kernel, Linear, Maps, Scheme};

pub(crate) const SCHEME: Scheme = Scheme::DEFAULT;

#[derive(Module, Debug)]
pub(crate) struct DenseNet {
    stem: Conv,
    blocks: Vec<DenseBlock>,
    norm: BatchNorm,
    linear: Linear,
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
    pub(crate) fn new(
        b: &Builder,
        growth: usize,
        depths: [usize; 4],
        channels: usize,
        classes: usize,
    ) -> Self {
        let mut width = 2 * growth;
        let stem = Conv::new(b, "conv1", Kernel::new(3, channels, width));
        let features = b.at("features");
        let mut blocks = Vec::new();
        for (block, depth) in depths.into_iter().enumerate() {
            let is_last = block + 1 == depths.len();
            let underscore = if is_last { "" } else { "_layer_" };
            let b = features.at(format_args!("dense_block{underscore}{block}"));
            let mut layers = Vec::new();
            for i in 0..depth {
                let b = b.at(format_args!("bottle_neck_layer_{i}.bottle_neck"));
                layers.push(DenseLayer::new(&b, width, growth));
                width += growth;
            }
            let transition = (!is_last).then(|| {
                let b = features.at(format_args!("transition_layer_{block}.down_sample"));
                Transition::new(&b, width)
            });
            if !is_last {
                width /= 2;
            }
            blocks.push(DenseBlock { layers, transition });
        }
        let norm = BatchNorm::new(&features, "bn", width);
        Self { stem, blocks, norm, linear: Linear::new(b, "linear", width, classes) }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let mut x = self.stem.forward(x);
        for block in &self.blocks {
            for layer in &block.layers {
                x = layer.forward(x);
            }
            if let Some(transition) = &block.transition {
                x = transition.forward(x);
            }
        }
        let mut features = self.norm.relu(x).global_pool();
        (features.fork(), self.linear.forward(features))
    }
}

impl DenseLayer {
    fn new(b: &Builder, width: usize, growth: usize) -> Self {
        Self {
            norm: BatchNorm::new(b, "0", width),
            reduce: ConvBn::new(b, "2", "3", Kernel::new(1, width, 4 * growth)),
            conv: Conv::new(b, "5", Kernel::new(3, 4 * growth, growth)),
        }
    }

    fn forward(&self, mut x: Maps) -> Maps {
        let y = self.conv.forward(self.reduce.relu(self.norm.relu(x.fork())));
        x.concat(y)
    }
}

impl Transition {
    fn new(b: &Builder, width: usize) -> Self {
        Self {
            norm: BatchNorm::new(b, "0", width),
            conv: Conv::new(b, "1", Kernel::new(1, width, width / 2)),
        }
    }

    fn forward(&self, x: Maps) -> Maps {
        self.conv.forward(self.norm.forward(x, None, Activation::None)).avg_pool(2, 2)
    }
}
