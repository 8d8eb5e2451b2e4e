//! Every network held against values that the published PyTorch definitions gave in float64: parameter counts, logits
//! in both modes, three losses, every gradient's norm, three steps of SGD with the running statistics after them.
//!
//! The cases lie in `tests/golden` of this crate, or where `NASTY_GOLDEN_DIR` says. A missing or empty folder is a
//! failure.

mod golden_case;

use std::path::{Path, PathBuf};

use golden_case::hold;
use nasty_teacher::nets::Architecture;

fn folder() -> PathBuf {
    match std::env::var_os("NASTY_GOLDEN_DIR") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"),
    }
}

/// Which test holds a case: groups run side by side, the slow networks apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Group {
    Plain,
    Cifar,
    ResNet,
    Bottleneck,
    ResNext,
    Wide,
    Mobile,
    Dense,
}

impl Group {
    /// Without a wildcard, so that a new architecture cannot stay outside.
    fn of(architecture: Architecture) -> Self {
        use Architecture::*;
        match architecture {
            Cnn { .. } | Mlp => Self::Plain,
            PreResNet20 | PreResNet32 | PreResNet44 | PreResNet56 | PreResNet110 | CifarResNet20
            | CifarResNet32 | CifarResNet44 | CifarResNet56 | CifarResNet110 => Self::Cifar,
            ResNet18 | ResNet34 => Self::ResNet,
            ResNet50 | ResNet101 => Self::Bottleneck,
            ResNext29 => Self::ResNext,
            WideResNet { .. } => Self::Wide,
            MobileNetV2 | ShuffleNetV2 => Self::Mobile,
            DenseNet121 | DenseNet161 | DenseNet169 => Self::Dense,
            // `golden_published.rs` holds these.
            ImageNet(_) | Distillation(_) => Self::Plain,
        }
    }

    fn holds(self) {
        hold(&folder(), |architecture| Self::of(architecture) == self);
    }
}

#[test]
fn golden_values_of_cnn_and_mlp() {
    Group::Plain.holds();
}

#[test]
fn golden_values_of_cifar_and_preactivation_resnets() {
    Group::Cifar.holds();
}

#[test]
fn golden_values_of_basic_resnets() {
    Group::ResNet.holds();
}

#[test]
fn golden_values_of_bottleneck_resnets() {
    Group::Bottleneck.holds();
}

#[test]
fn golden_values_of_resnext() {
    Group::ResNext.holds();
}

#[test]
fn golden_values_of_wide_resnets() {
    Group::Wide.holds();
}

#[test]
fn golden_values_of_mobilenet_and_shufflenet() {
    Group::Mobile.holds();
}

#[test]
fn golden_values_of_densenets() {
    Group::Dense.holds();
}
