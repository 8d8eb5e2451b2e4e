//! VGG-16 with batch-norm (Simonyan & Zisserman, ICLR 2015) as in torchvision: 3×3 convolutions, five max pools, an
//! average pool to 7×7, two hidden layers of 4096. timm's `vgg16_bn` is the same function at a side of 224.

use burn::module::Module;

use crate::nets::layers::{Activation, Builder, ConvBn, Kernel, Linear, Maps, Scheme, Spread};

pub(crate) const SCHEME: Scheme =
    Scheme { conv: Spread::FanOut, linear: Spread::Normal(0.01), zero_bias: true };

/// Channels of the convolutions before each pool.
const STAGES: [&[usize]; 5] = [&[64; 2], &[128; 2], &[256; 3], &[512; 3], &[512; 3]];
const POOLED: usize = 7;
const HIDDEN: usize = 4096;
const DROPOUT: f64 = 0.5;

#[derive(Module, Debug)]
pub(crate) struct Vgg {
    stages: Vec<Vec<ConvBn>>,
    hidden: [Linear; 2],
    classifier: Linear,
}

impl Vgg {
    pub(crate) fn new(b: &Builder, channels: usize, classes: usize) -> Self {
        let features = b.at("features");
        let mut input = channels;
        // Convolution, batch-norm, ReLU; a pool behind each stage.
        let mut place = 0;
        let mut stages = Vec::new();
        for widths in STAGES {
            let mut convs = Vec::new();
            for &width in widths {
                let (conv, norm) = (place.to_string(), (place + 1).to_string());
                convs.push(ConvBn::new(&features, &conv, &norm, Kernel::new(3, input, width).biased()));
                (input, place) = (width, place + 3);
            }
            stages.push(convs);
            place += 1;
        }
        let linear =
            |own: &str, timm: &str, input, output| Linear::new(b, b.own_or_timm(own, timm), input, output);
        Self {
            stages,
            hidden: [
                linear("classifier.0", "pre_logits.fc1", input * POOLED * POOLED, HIDDEN),
                linear("classifier.3", "pre_logits.fc2", HIDDEN, HIDDEN),
            ],
            classifier: linear("classifier.6", "head.fc", HIDDEN, classes),
        }
    }

    pub(crate) fn forward(&self, mut x: Maps) -> (Maps, Maps) {
        for convs in &self.stages {
            x = convs.iter().fold(x, |x, conv| conv.relu(x)).max_pool(2);
        }
        let [first, second] = &self.hidden;
        let x = first.forward(x.adaptive_pool(POOLED).flatten()).activate(Activation::Relu);
        let mut features = second.forward(x.dropout(DROPOUT, 0)).activate(Activation::Relu);
        (features.fork(), self.classifier.forward(features.dropout(DROPOUT, 1)))
    }
}
