//! The CIFAR networks of the public distillation benchmarks RepDistiller (Tian et al., ICLR 2020) and mdistiller (Zhao
//! et al., CVPR 2022), whose checkpoints are in wide use. Their wide ResNets are in [`super::wide_resnet`].

mod resnet;
mod vgg;

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::layers::{Builder, Maps, Scheme};

/// A network of the distillation benchmarks, called `kd-` and its name there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Distillation {
    /// ResNet of depth 8 with projection shortcuts (option B).
    ResNet8,
    /// ResNet of depth 14, option B.
    ResNet14,
    /// ResNet of depth 20, option B.
    ResNet20,
    /// ResNet of depth 32, option B.
    ResNet32,
    /// ResNet of depth 44, option B.
    ResNet44,
    /// ResNet of depth 56, option B.
    ResNet56,
    /// ResNet of depth 110, option B.
    ResNet110,
    /// ResNet of depth 8, four times as wide.
    ResNet8x4,
    /// ResNet of depth 32, four times as wide.
    ResNet32x4,
    /// VGG-8 with batch-norm.
    Vgg8,
    /// VGG-13 with batch-norm.
    Vgg13,
    /// VGG-16 with batch-norm.
    Vgg16,
}

use Distillation::*;

pub(super) const NAMES: &[(Distillation, &str, &[&str])] = &[
    (ResNet8, "kd-resnet8", &[]),
    (ResNet14, "kd-resnet14", &[]),
    (ResNet20, "kd-resnet20", &[]),
    (ResNet32, "kd-resnet32", &[]),
    (ResNet44, "kd-resnet44", &[]),
    (ResNet56, "kd-resnet56", &[]),
    (ResNet110, "kd-resnet110", &[]),
    (ResNet8x4, "kd-resnet8x4", &["resnet8x4"]),
    (ResNet32x4, "kd-resnet32x4", &["resnet32x4"]),
    (Vgg8, "kd-vgg8", &[]),
    (Vgg13, "kd-vgg13", &[]),
    (Vgg16, "kd-vgg16", &[]),
];

impl Distillation {
    /// The smallest side that leaves a pixel everywhere.
    pub(super) fn least_side(self) -> usize {
        match self {
            Vgg8 | Vgg13 | Vgg16 => 8,
            _ => 1,
        }
    }

    pub(super) fn scheme(self) -> Scheme {
        match self {
            Vgg8 | Vgg13 | Vgg16 => vgg::SCHEME,
            _ => resnet::SCHEME,
        }
    }
}

/// The layers of a network, by family.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "one exists for each network")]
pub(super) enum DistillationBody {
    ResNet(resnet::ResNet),
    Vgg(vgg::Vgg),
}

impl DistillationBody {
    pub(super) fn new(network: Distillation, b: &Builder, channels: usize, classes: usize) -> Self {
        const PLAIN: [usize; 4] = [16, 16, 32, 64];
        const WIDE: [usize; 4] = [32, 64, 128, 256];
        let resnet = |depth, widths| Self::ResNet(resnet::ResNet::new(b, depth, widths, channels, classes));
        let vgg = |convs| Self::Vgg(vgg::Vgg::new(b, convs, channels, classes));
        match network {
            ResNet8 => resnet(8, PLAIN),
            ResNet14 => resnet(14, PLAIN),
            ResNet20 => resnet(20, PLAIN),
            ResNet32 => resnet(32, PLAIN),
            ResNet44 => resnet(44, PLAIN),
            ResNet56 => resnet(56, PLAIN),
            ResNet110 => resnet(110, PLAIN),
            ResNet8x4 => resnet(8, WIDE),
            ResNet32x4 => resnet(32, WIDE),
            Vgg8 => vgg([1, 1, 1, 1, 1]),
            Vgg13 => vgg([2, 2, 2, 2, 2]),
            Vgg16 => vgg([2, 2, 3, 3, 3]),
        }
    }

    /// Features and logits.
    pub(super) fn forward(&self, x: Maps) -> (Maps, Maps) {
        match self {
            Self::ResNet(net) => net.forward(x),
            Self::Vgg(net) => net.forward(x),
        }
    }
}
