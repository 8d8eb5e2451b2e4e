//! VGG with batch-norm (Simonyan & Zisserman, ICLR 2015) for small images: five blocks of 3×3 convolutions, a max pool
//! after each of the first three (for images of 64 pixels also after the fourth, as published), and one linear layer.

use burn::module::Module;

use crate::nets::layers::{Builder, ConvBn, Kernel, Linear, Maps, Scheme, Spread};

pub(crate) const SCHEME: Scheme =
    Scheme { conv: Spread::FanOut, linear: Spread::Normal(0.01), zero_bias: true };

const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];

#[derive(Module, Debug)]
pub(crate) struct Vgg {
    blocks: Vec<Vec<ConvBn>>,
    classifier: Linear,
}

impl Vgg {
    /// `convs`: how many each block has.
    pub(crate) fn new(b: &Builder, convs: [usize; 5], channels: usize, classes: usize) -> Self {
        let mut input = channels;
        let mut blocks = Vec::new();
        for (block, (width, convs)) in WIDTHS.into_iter().zip(convs).enumerate() {
            let b = b.at(format_args!("block{block}"));
            let conv = |i: usize| {
                let input = if i == 0 { input } else { width };
                // Convolution, batch-norm, ReLU.
                let (conv, norm) = ((3 * i).to_string(), (3 * i + 1).to_string());
                ConvBn::new(&b, &conv, &norm, Kernel::new(3, input, width).biased())
            };
            blocks.push((0..convs).map(conv).collect());
            input = width;
        }
        Self { blocks, classifier: Linear::new(b, "classifier", input, classes) }
    }

    pub(crate) fn forward(&self, mut x: Maps) -> (Maps, Maps) {
        let pools = if x.shape()[0] == 64 { 4 } else { 3 };
        for (block, convs) in self.blocks.iter().enumerate() {
            x = convs.iter().fold(x, |x, conv| conv.relu(x));
            if block < pools {
                x = x.max_pool(2);
            }
        }
        let mut features = x.global_pool();
        (features.fork(), self.classifier.forward(features))
    }
}
