//! ConvNeXt-Tiny (Liu et al., CVPR 2022) as in torchvision and timm.

use burn::module::Module;

use crate::nets::layers::{
    Builder, Conv, Curve, DropPath, Kernel, LayerNorm, LayerScale, Linear, Maps, Scheme, Spread,
};

/// The published normals are cut off at ±2, a hundred standard deviations away.
pub(crate) const SCHEME: Scheme =
    Scheme { conv: Spread::Normal(0.02), linear: Spread::Normal(0.02), zero_bias: true };

/// Channels and blocks of each stage.
const STAGES: [[usize; 2]; 4] = [[96, 3], [192, 3], [384, 9], [768, 3]];
const EPSILON: f64 = 1e-6;
const LAYER_SCALE: f32 = 1e-6;

#[derive(Module, Debug)]
pub(crate) struct ConvNeXt {
    stem: Conv,
    stem_norm: LayerNorm,
    stages: Vec<Stage>,
    norm: LayerNorm,
    classifier: Linear,
}

#[derive(Module, Debug)]
struct Stage {
    /// Halves the side; none before the first stage.
    reduce: Option<Reduce>,
    blocks: Vec<Block>,
}

#[derive(Module, Debug)]
struct Reduce {
    norm: LayerNorm,
    conv: Conv,
}

#[derive(Module, Debug)]
struct Block {
    depthwise: Conv,
    norm: LayerNorm,
    expand: Linear,
    project: Linear,
    scale: LayerScale,
    #[module(skip)]
    path: DropPath,
}

impl ConvNeXt {
    pub(crate) fn new(b: &Builder, channels: usize, classes: usize) -> Self {
        let width = STAGES[0][0];
        let patches = Kernel::new(4, channels, width).stride(4).padding(0).biased();
        let stem = Conv::new(b, b.own_or_timm("features.0.0", "stem.0"), patches);
        let stem_norm = LayerNorm::new(b, b.own_or_timm("features.0.1", "stem.1"), width, EPSILON);
        let all: usize = STAGES.iter().map(|[_, depth]| depth).sum();
        let mut input = width;
        let mut number = 0;
        let mut stages = Vec::new();
        for (stage, [width, depth]) in STAGES.into_iter().enumerate() {
            let reduce = (stage > 0).then(|| {
                let own = format!("features.{}", 2 * stage);
                let b = b.at(b.own_or_timm(&own, &format!("stages.{stage}.downsample")));
                let halves = Kernel::new(2, input, width).stride(2).padding(0).biased();
                Reduce { norm: LayerNorm::new(&b, "0", input, EPSILON), conv: Conv::new(&b, "1", halves) }
            });
            let block = |i: usize| {
                let own = format!("features.{}.{i}", 2 * stage + 1);
                let b = b.at(b.own_or_timm(&own, &format!("stages.{stage}.blocks.{i}")));
                let number = number + i;
                Block::new(&b, width, DropPath { number, share: number as f64 / (all - 1) as f64 })
            };
            let blocks = (0..depth).map(block).collect();
            stages.push(Stage { reduce, blocks });
            (input, number) = (width, number + depth);
        }
        let norm = LayerNorm::new(b, b.own_or_timm("classifier.0", "head.norm"), input, EPSILON);
        let classifier = Linear::new(b, b.own_or_timm("classifier.2", "head.fc"), input, classes);
        Self { stem, stem_norm, stages, norm, classifier }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let mut x = self.stem_norm.forward(self.stem.forward(x));
        for stage in &self.stages {
            if let Some(Reduce { norm, conv }) = &stage.reduce {
                x = conv.forward(norm.forward(x));
            }
            for block in &stage.blocks {
                x = block.forward(x);
            }
        }
        let mut features = self.norm.forward(x.global_pool());
        (features.fork(), self.classifier.forward(features))
    }
}

impl Block {
    fn new(b: &Builder, width: usize, path: DropPath) -> Self {
        // The published definitions name the scale first.
        let scale = LayerScale::new(b, b.own_or_timm("layer_scale", "gamma"), width, LAYER_SCALE);
        let depthwise = Kernel::new(7, width, width).groups(width).biased();
        Self {
            scale,
            depthwise: Conv::new(b, b.own_or_timm("block.0", "conv_dw"), depthwise),
            norm: LayerNorm::new(b, b.own_or_timm("block.2", "norm"), width, EPSILON),
            expand: Linear::new(b, b.own_or_timm("block.3", "mlp.fc1"), width, 4 * width),
            project: Linear::new(b, b.own_or_timm("block.5", "mlp.fc2"), 4 * width, width),
            path,
        }
    }

    fn forward(&self, mut x: Maps) -> Maps {
        let shortcut = x.fork();
        let y = self.norm.forward(self.depthwise.forward(x));
        let y = self.project.on_pixels(self.expand.on_pixels(y).curve(Curve::Gelu));
        if y.drops(self.path) {
            return self.scale.forward(y).drop_path(self.path).add(shortcut);
        }
        self.scale.add(y, shortcut)
    }
}
