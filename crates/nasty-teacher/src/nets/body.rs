//! Which layers an architecture's name stands for.

use burn::module::Module;

use super::cnn::{self, Cnn};
use super::layers::{Builder, Maps, Scheme};
use super::mlp::{self, Mlp};
use super::preresnet::{self, PreResNet};
use super::resnet::{self, BlockKind, ResNet};
use super::{Architecture, Input};

/// How the architecture's published definition draws its initial weights.
pub(super) fn scheme(architecture: Architecture) -> Scheme {
    use Architecture::*;
    match architecture {
        Cnn { .. } => cnn::SCHEME,
        Mlp => mlp::SCHEME,
        PreResNet20 | PreResNet32 | PreResNet44 | PreResNet56 | PreResNet110 => preresnet::SCHEME,
        ResNet18 | ResNet34 | ResNet50 | ResNet101 => resnet::SCHEME,
    }
}

/// The layers of a network, by family.
#[derive(Module, Debug)]
pub(super) enum Body {
    Cnn(Cnn),
    Mlp(Mlp),
    PreResNet(PreResNet),
    ResNet(ResNet),
}

impl Body {
    pub(super) fn new(architecture: Architecture, b: &Builder, classes: usize, input: Input) -> Self {
        use Architecture as A;
        let channels = input.channels;
        let preresnet = |depth| Self::PreResNet(PreResNet::new(b, depth, channels, classes));
        let resnet = |kind, depths| Self::ResNet(ResNet::new(b, kind, depths, channels, classes));
        match architecture {
            A::Cnn { width } => Self::Cnn(Cnn::new(b, width, input, classes)),
            A::Mlp => Self::Mlp(Mlp::new(b, input, classes)),
            A::PreResNet20 => preresnet(20),
            A::PreResNet32 => preresnet(32),
            A::PreResNet44 => preresnet(44),
            A::PreResNet56 => preresnet(56),
            A::PreResNet110 => preresnet(110),
            A::ResNet18 => resnet(BlockKind::Basic, [2, 2, 2, 2]),
            A::ResNet34 => resnet(BlockKind::Basic, [3, 4, 6, 3]),
            A::ResNet50 => resnet(BlockKind::Bottleneck, [3, 4, 6, 3]),
            A::ResNet101 => resnet(BlockKind::Bottleneck, [3, 4, 23, 3]),
        }
    }

    /// Features and logits.
    pub(super) fn forward(&self, x: Maps) -> (Maps, Maps) {
        match self {
            Self::Cnn(net) => net.forward(x),
            Self::Mlp(net) => net.forward(x),
            Self::PreResNet(net) => net.forward(x),
            Self::ResNet(net) => net.forward(x),
        }
    }
}
