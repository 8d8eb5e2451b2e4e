//! Wide ResNets, `wrn-D-W` (Zagoruyko & Komodakis, BMVC 2016): pre-activation basic blocks of depth D, W times as wide
//! as a CIFAR ResNet's; `(D − 4) / 6` blocks per stage. Where the number of channels changes, the shortcut is a 1×1
//! convolution of the normalised input.

use burn::module::Module;

use super::layers::{BatchNorm, Builder, Conv, ConvBn, Kernel, Linear, Maps, Scheme, Spread};

/// Convolutions from N(0, 2 / (k² C_out)), biases 0.
pub(crate) const SCHEME: Scheme = Scheme { conv: Spread::FanOut, linear: Spread::Default, zero_bias: true };

#[derive(Module, Debug)]
pub(crate) struct WideResNet {
    stem: Conv,
    blocks: Vec<Block>,
    norm: BatchNorm,
    fc: Linear,
}

#[derive(Module, Debug)]
struct Block {
    norm: BatchNorm,
    conv1: ConvBn,
    conv2: Conv,
    shortcut: Option<Conv>,
}

impl WideResNet {
    pub(crate) fn new(b: &Builder, depth: usize, widen: usize, channels: usize, classes: usize) -> Self {
        let stem = Conv::new(b, "conv1", Kernel::new(3, channels, 16));
        let mut blocks = Vec::new();
        let mut input = 16;
        for (stage, width) in [16, 32, 64].into_iter().enumerate() {
            for i in 0..(depth - 4) / 6 {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let b = b.at(format_args!("block{}.layer.{i}", stage + 1));
                blocks.push(Block::new(&b, input, widen * width, stride));
                input = widen * width;
            }
        }
        Self { stem, blocks, norm: BatchNorm::new(b, "bn1", input), fc: Linear::new(b, "fc", input, classes) }
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
    fn new(b: &Builder, input: usize, width: usize, stride: usize) -> Self {
        Self {
            norm: BatchNorm::new(b, "bn1", input),
            conv1: ConvBn::new(b, "conv1", "bn2", Kernel::new(3, input, width).stride(stride)),
            conv2: Conv::new(b, "conv2", Kernel::new(3, width, width)),
            shortcut: (input != width)
                .then(|| Conv::new(b, "convShortcut", Kernel::new(1, input, width).stride(stride))),
        }
    }

    fn forward(&self, mut x: Maps) -> Maps {
        let (y, shortcut) = match &self.shortcut {
            Some(conv) => {
                let mut y = self.norm.relu(x);
                (y.fork(), conv.forward(y))
            }
            None => (self.norm.relu(x.fork()), x),
        };
        self.conv2.forward(self.conv1.relu(y)).add(shortcut)
    }
}
