//! The layers behind each architecture's name.

use burn::module::Module;

use super::cifar_resnet::{self, CifarResNet};
use super::cnn::{self, Cnn};
use super::densenet::{self, DenseNet};
use super::distillation::DistillationBody;
use super::imagenet::ImageNetBody;
use super::layers::{Builder, Maps, Scheme};
use super::mlp::{self, Mlp};
use super::mobilenet::{self, MobileNetV2};
use super::preresnet::{self, PreResNet};
use super::resnet::{self, BlockKind, ResNet};
use super::resnext::{self, ResNext};
use super::shufflenet::{self, ShuffleNetV2};
use super::wide_resnet::{self, WideResNet};
use super::{Architecture, Input};

/// How the architecture's published definition draws its initial weights.
pub(super) fn scheme(architecture: Architecture) -> Scheme {
    use Architecture::*;
    match architecture {
        Cnn { .. } => cnn::SCHEME,
        Mlp => mlp::SCHEME,
        PreResNet20 | PreResNet32 | PreResNet44 | PreResNet56 | PreResNet110 => preresnet::SCHEME,
        CifarResNet20 | CifarResNet32 | CifarResNet44 | CifarResNet56 | CifarResNet110 => {
            cifar_resnet::SCHEME
        }
        ResNet18 | ResNet34 | ResNet50 | ResNet101 => resnet::SCHEME,
        ResNext29 => resnext::SCHEME,
        WideResNet { .. } => wide_resnet::SCHEME,
        MobileNetV2 => mobilenet::SCHEME,
        ShuffleNetV2 => shufflenet::SCHEME,
        DenseNet121 | DenseNet161 | DenseNet169 => densenet::SCHEME,
        ImageNet(network) => network.scheme(),
        Distillation(network) => network.scheme(),
    }
}

/// The layers of a network, by family.
#[derive(Module, Debug)]
pub(super) enum Body {
    Cnn(Cnn),
    Mlp(Mlp),
    PreResNet(PreResNet),
    CifarResNet(CifarResNet),
    ResNet(ResNet),
    ResNext(ResNext),
    WideResNet(WideResNet),
    MobileNetV2(MobileNetV2),
    ShuffleNetV2(ShuffleNetV2),
    DenseNet(DenseNet),
    ImageNet(ImageNetBody),
    Distillation(DistillationBody),
}

impl Body {
    pub(super) fn new(architecture: Architecture, b: &Builder, classes: usize, input: Input) -> Self {
        use Architecture as A;
        let channels = input.channels;
        let preresnet = |depth| Self::PreResNet(PreResNet::new(b, depth, channels, classes));
        let cifar_resnet = |depth| Self::CifarResNet(CifarResNet::new(b, depth, channels, classes));
        let resnet = |kind, depths| Self::ResNet(ResNet::new(b, kind, depths, channels, classes));
        let densenet = |growth, depths| Self::DenseNet(DenseNet::new(b, growth, depths, channels, classes));
        match architecture {
            A::Cnn { width } => Self::Cnn(Cnn::new(b, width, input, classes)),
            A::Mlp => Self::Mlp(Mlp::new(b, input, classes)),
            A::PreResNet20 => preresnet(20),
            A::PreResNet32 => preresnet(32),
            A::PreResNet44 => preresnet(44),
            A::PreResNet56 => preresnet(56),
            A::PreResNet110 => preresnet(110),
            A::CifarResNet20 => cifar_resnet(20),
            A::CifarResNet32 => cifar_resnet(32),
            A::CifarResNet44 => cifar_resnet(44),
            A::CifarResNet56 => cifar_resnet(56),
            A::CifarResNet110 => cifar_resnet(110),
            A::ResNet18 => resnet(BlockKind::Basic, [2, 2, 2, 2]),
            A::ResNet34 => resnet(BlockKind::Basic, [3, 4, 6, 3]),
            A::ResNet50 => resnet(BlockKind::Bottleneck, [3, 4, 6, 3]),
            A::ResNet101 => resnet(BlockKind::Bottleneck, [3, 4, 23, 3]),
            A::ResNext29 => Self::ResNext(ResNext::new(b, channels, classes)),
            A::WideResNet { depth, width } => {
                Self::WideResNet(WideResNet::new(b, depth, width, channels, classes))
            }
            A::MobileNetV2 => Self::MobileNetV2(MobileNetV2::new(b, channels, classes)),
            A::ShuffleNetV2 => Self::ShuffleNetV2(ShuffleNetV2::new(b, channels, classes)),
            A::DenseNet121 => densenet(32, [6, 12, 24, 16]),
            A::DenseNet161 => densenet(48, [6, 12, 36, 24]),
            A::DenseNet169 => densenet(32, [6, 12, 32, 32]),
            A::ImageNet(network) => Self::ImageNet(ImageNetBody::new(network, b, channels, classes)),
            A::Distillation(network) => {
                Self::Distillation(DistillationBody::new(network, b, channels, classes))
            }
        }
    }

    /// Features and logits.
    pub(super) fn forward(&self, x: Maps) -> (Maps, Maps) {
        match self {
            Self::Cnn(net) => net.forward(x),
            Self::Mlp(net) => net.forward(x),
            Self::PreResNet(net) => net.forward(x),
            Self::CifarResNet(net) => net.forward(x),
            Self::ResNet(net) => net.forward(x),
            Self::ResNext(net) => net.forward(x),
            Self::WideResNet(net) => net.forward(x),
            Self::MobileNetV2(net) => net.forward(x),
            Self::ShuffleNetV2(net) => net.forward(x),
            Self::DenseNet(net) => net.forward(x),
            Self::ImageNet(net) => net.forward(x),
            Self::Distillation(net) => net.forward(x),
        }
    }
}
