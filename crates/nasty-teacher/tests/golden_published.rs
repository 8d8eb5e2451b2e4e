//! torchvision's, timm's and the distillation benchmarks' networks held against values that their published PyTorch definitions
//! gave in float64. `tools/golden_torchvision.py` wrote the cases.

mod golden_case;

use std::path::Path;

use golden_case::hold;
use nasty_teacher::nets::{Architecture, ImageNet};

fn holds(wanted: impl Fn(Architecture) -> bool) {
    let held = hold(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-published"), wanted);
    assert!(held > 0, "no case of these networks");
}

/// Which test holds a case: groups run side by side. Without a wildcard, so that a new network cannot stay outside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    ResNet,
    Bottleneck,
    Mobile,
    Efficient,
    Dense,
    /// No case: its three steps at the usual rate diverge, and another takes long. `tools/verify_weights.py` compares its logits.
    Vgg,
    ConvNeXt,
}

impl Group {
    fn of(network: ImageNet) -> Self {
        use ImageNet::*;
        match network {
            ResNet18 | ResNet34 => Self::ResNet,
            ResNet50 | ResNet101 | WideResNet50x2 | ResNext50 => Self::Bottleneck,
            MobileNetV2 | MobileNetV3Small | MobileNetV3Large | TimmMobileNetV3Small
            | TimmMobileNetV3Large | ShuffleNetV2 => Self::Mobile,
            EfficientNetB0 => Self::Efficient,
            DenseNet121 => Self::Dense,
            Vgg16 => Self::Vgg,
            ConvNeXtTiny => Self::ConvNeXt,
        }
    }

    fn holds(self) {
        holds(|architecture| matches!(architecture, Architecture::ImageNet(n) if Self::of(n) == self));
    }
}

#[test]
fn golden_values_of_torchvision_resnets() {
    Group::ResNet.holds();
}

#[test]
fn golden_values_of_torchvision_bottleneck_resnets() {
    Group::Bottleneck.holds();
}

#[test]
fn golden_values_of_torchvision_and_timm_mobilenets() {
    Group::Mobile.holds();
}

#[test]
fn golden_values_of_torchvision_efficientnet() {
    Group::Efficient.holds();
}

#[test]
fn golden_values_of_torchvision_densenet() {
    Group::Dense.holds();
}

#[test]
fn golden_values_of_torchvision_convnext() {
    Group::ConvNeXt.holds();
}

#[test]
fn golden_values_of_the_distillation_benchmarks() {
    holds(|a| matches!(a, Architecture::Distillation(_) | Architecture::WideResNet { .. }));
}
