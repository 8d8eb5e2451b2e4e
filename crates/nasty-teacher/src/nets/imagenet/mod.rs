//! The networks of torchvision and timm, for images of 96 to 224 pixels and more. Names, tensors and functions are
//! those of torchvision 0.29 and timm 1.0.

mod convnext;
mod densenet;
mod efficientnet;
mod inverted;
mod mobilenet_v2;
mod mobilenet_v3;
mod resnet;
mod shufflenet;
mod stem;
mod vgg;

use burn::module::Module;
use serde::{Deserialize, Serialize};

use self::resnet::Plan;
use super::layers::{Builder, Maps, Scheme, Spelling};

/// A network for large images. torchvision's are called `tv-` and torchvision's name; timm's, where they are other functions,
/// `timm-` and timm's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ImageNet {
    /// ResNet-18.
    ResNet18,
    /// ResNet-34.
    ResNet34,
    /// ResNet-50.
    ResNet50,
    /// ResNet-101.
    ResNet101,
    /// Wide ResNet-50-2.
    WideResNet50x2,
    /// ResNeXt-50, 32×4d.
    ResNext50,
    /// MobileNetV2.
    MobileNetV2,
    /// MobileNetV3, small.
    MobileNetV3Small,
    /// MobileNetV3, large.
    MobileNetV3Large,
    /// MobileNetV3, small, with timm's batch-norms.
    TimmMobileNetV3Small,
    /// MobileNetV3, large, with timm's batch-norms.
    TimmMobileNetV3Large,
    /// ShuffleNetV2 ×1.0.
    ShuffleNetV2,
    /// DenseNet-121.
    DenseNet121,
    /// EfficientNet-B0.
    EfficientNetB0,
    /// VGG-16 with batch-norm.
    Vgg16,
    /// ConvNeXt-Tiny.
    ConvNeXtTiny,
}

use ImageNet::*;

/// Torchvision's own name is an alias where no other network has it; so is timm's name with the tag of its first weights,
/// where the function is torchvision's.
pub(super) const NAMES: &[(ImageNet, &str, &[&str])] = &[
    (ResNet18, "tv-resnet18", &["resnet18.tv_in1k"]),
    (ResNet34, "tv-resnet34", &["resnet34.tv_in1k"]),
    (ResNet50, "tv-resnet50", &["resnet50.tv_in1k", "resnet50.tv2_in1k"]),
    (ResNet101, "tv-resnet101", &["resnet101.tv_in1k", "resnet101.tv2_in1k"]),
    (WideResNet50x2, "tv-wide_resnet50_2", &["wide_resnet50_2", "wide_resnet50_2.tv_in1k"]),
    (ResNext50, "tv-resnext50_32x4d", &["resnext50_32x4d", "resnext50_32x4d.tv_in1k"]),
    (MobileNetV2, "tv-mobilenet_v2", &["mobilenet_v2", "mobilenetv2_100", "mobilenetv2_100.ra_in1k"]),
    (MobileNetV3Small, "tv-mobilenet_v3_small", &["mobilenet_v3_small"]),
    (MobileNetV3Large, "tv-mobilenet_v3_large", &["mobilenet_v3_large"]),
    (
        TimmMobileNetV3Small,
        "timm-mobilenetv3_small_100",
        &["mobilenetv3_small_100", "mobilenetv3_small_100.lamb_in1k"],
    ),
    (
        TimmMobileNetV3Large,
        "timm-mobilenetv3_large_100",
        &["mobilenetv3_large_100", "mobilenetv3_large_100.ra_in1k"],
    ),
    (ShuffleNetV2, "tv-shufflenet_v2_x1_0", &["shufflenet_v2_x1_0"]),
    (DenseNet121, "tv-densenet121", &["densenet121.tv_in1k"]),
    (EfficientNetB0, "tv-efficientnet_b0", &["efficientnet_b0", "efficientnet_b0.ra_in1k"]),
    (Vgg16, "tv-vgg16_bn", &["vgg16_bn", "vgg16_bn.tv_in1k"]),
    (ConvNeXtTiny, "tv-convnext_tiny", &["convnext_tiny", "convnext_tiny.fb_in1k"]),
];

impl ImageNet {
    /// The smallest side that leaves a pixel everywhere.
    pub(super) fn least_side(self) -> usize {
        match self {
            Vgg16 | ConvNeXtTiny => 32,
            DenseNet121 => 29,
            _ => 1,
        }
    }

    /// The spelling of its own tensors.
    pub(super) fn own_spelling(self) -> Spelling {
        match self {
            TimmMobileNetV3Small | TimmMobileNetV3Large => Spelling::Timm,
            _ => Spelling::Own,
        }
    }

    /// Other names that files of the same function have.
    pub(super) fn other_spellings(self) -> &'static [Spelling] {
        match self {
            MobileNetV2 | EfficientNetB0 | Vgg16 | ConvNeXtTiny => &[Spelling::Timm],
            DenseNet121 => &[Spelling::Dotted],
            _ => &[],
        }
    }

    pub(super) fn scheme(self) -> Scheme {
        match self {
            ResNet18 | ResNet34 | ResNet50 | ResNet101 | WideResNet50x2 | ResNext50 => resnet::SCHEME,
            MobileNetV2 => mobilenet_v2::SCHEME,
            MobileNetV3Small | MobileNetV3Large | TimmMobileNetV3Small | TimmMobileNetV3Large => {
                mobilenet_v3::SCHEME
            }
            ShuffleNetV2 => shufflenet::SCHEME,
            DenseNet121 => densenet::SCHEME,
            EfficientNetB0 => efficientnet::SCHEME,
            Vgg16 => vgg::SCHEME,
            ConvNeXtTiny => convnext::SCHEME,
        }
    }
}

/// The layers of a network, by family.
#[derive(Module, Debug)]
pub(super) enum ImageNetBody {
    ResNet(resnet::ResNet),
    MobileNetV2(mobilenet_v2::MobileNetV2),
    MobileNetV3(mobilenet_v3::MobileNetV3),
    ShuffleNetV2(shufflenet::ShuffleNetV2),
    DenseNet(densenet::DenseNet),
    EfficientNet(efficientnet::EfficientNet),
    Vgg(vgg::Vgg),
    ConvNeXt(convnext::ConvNeXt),
}

impl ImageNetBody {
    pub(super) fn new(network: ImageNet, b: &Builder, channels: usize, classes: usize) -> Self {
        use mobilenet_v3::Size;
        let resnet = |plan| Self::ResNet(resnet::ResNet::new(b, plan, channels, classes));
        let v3 =
            |size, timm| Self::MobileNetV3(mobilenet_v3::MobileNetV3::new(b, size, timm, channels, classes));
        let fifty = Plan::bottleneck([3, 4, 6, 3]);
        match network {
            ResNet18 => resnet(Plan::basic([2, 2, 2, 2])),
            ResNet34 => resnet(Plan::basic([3, 4, 6, 3])),
            ResNet50 => resnet(fifty),
            ResNet101 => resnet(Plan::bottleneck([3, 4, 23, 3])),
            WideResNet50x2 => resnet(Plan { width: 128, ..fifty }),
            ResNext50 => resnet(Plan { groups: 32, width: 4, ..fifty }),
            MobileNetV2 => Self::MobileNetV2(mobilenet_v2::MobileNetV2::new(b, channels, classes)),
            MobileNetV3Small => v3(Size::Small, false),
            MobileNetV3Large => v3(Size::Large, false),
            TimmMobileNetV3Small => v3(Size::Small, true),
            TimmMobileNetV3Large => v3(Size::Large, true),
            ShuffleNetV2 => Self::ShuffleNetV2(shufflenet::ShuffleNetV2::new(b, channels, classes)),
            DenseNet121 => Self::DenseNet(densenet::DenseNet::new(b, channels, classes)),
            EfficientNetB0 => Self::EfficientNet(efficientnet::EfficientNet::new(b, channels, classes)),
            Vgg16 => Self::Vgg(vgg::Vgg::new(b, channels, classes)),
            ConvNeXtTiny => Self::ConvNeXt(convnext::ConvNeXt::new(b, channels, classes)),
        }
    }

    /// Features and logits.
    pub(super) fn forward(&self, x: Maps) -> (Maps, Maps) {
        match self {
            Self::ResNet(net) => net.forward(x),
            Self::MobileNetV2(net) => net.forward(x),
            Self::MobileNetV3(net) => net.forward(x),
            Self::ShuffleNetV2(net) => net.forward(x),
            Self::DenseNet(net) => net.forward(x),
            Self::EfficientNet(net) => net.forward(x),
            Self::Vgg(net) => net.forward(x),
            Self::ConvNeXt(net) => net.forward(x),
        }
    }
}
