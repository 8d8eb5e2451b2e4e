//! The closed set of architectures: names, limits, construction.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::layers::Spelling;
use super::{NetError, distillation, imagenet};

/// Images as a network takes them: `side` × `side` pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Input {
    /// 1 (grey) or 3 (colour).
    pub channels: usize,
    /// Height and width.
    pub side: usize,
}

/// A network's structure, up to class count and input. Written as its name, in files too.
///
/// A name stands for one function. `resnet20` to `resnet110` are the CIFAR ResNets (three stages, option A), `kd-resnet20`, …
/// those with projection shortcuts (option B); `resnet18` to `resnet101` have four stages and a 3×3 stem without pooling,
/// `densenet…`, `mobilenetv2` and `shufflenetv2` such a stem too. torchvision's networks, which begin with a stem for large
/// images, are `tv-resnet18`, …
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Architecture {
    /// `cnn` (width 32), `cnn16`, …: three convolutions of w, 2w, 4w channels and a hidden layer of 4w.
    Cnn {
        /// Channels of the first convolution.
        width: usize,
    },
    /// `mlp`: two hidden layers of 512.
    Mlp,
    /// Pre-activation ResNet of depth 20: the paper's ResNetC-20.
    PreResNet20,
    /// Pre-activation ResNet of depth 32: the paper's ResNetC-32.
    PreResNet32,
    /// Pre-activation ResNet of depth 44, of bottlenecks.
    PreResNet44,
    /// Pre-activation ResNet of depth 56, of bottlenecks.
    PreResNet56,
    /// Pre-activation ResNet of depth 110, of bottlenecks.
    PreResNet110,
    /// The CIFAR ResNet of depth 20, with parameter-free shortcuts (option A).
    CifarResNet20,
    /// The CIFAR ResNet of depth 32, with parameter-free shortcuts (option A).
    CifarResNet32,
    /// The CIFAR ResNet of depth 44, with parameter-free shortcuts (option A).
    CifarResNet44,
    /// The CIFAR ResNet of depth 56, with parameter-free shortcuts (option A).
    CifarResNet56,
    /// The CIFAR ResNet of depth 110, with parameter-free shortcuts (option A).
    CifarResNet110,
    /// ResNet-18 with a stem for small images.
    ResNet18,
    /// ResNet-34 with a stem for small images.
    ResNet34,
    /// ResNet-50 with a stem for small images.
    ResNet50,
    /// ResNet-101 with a stem for small images.
    ResNet101,
    /// ResNeXt-29, 8×64d.
    ResNext29,
    /// `wrn-28-10`, …: wide ResNet of depth D, W times as wide as a CIFAR ResNet.
    WideResNet {
        /// Depth, 6n + 4.
        depth: usize,
        /// Factor of the channels.
        width: usize,
    },
    /// MobileNetV2 with a stem for small images.
    MobileNetV2,
    /// ShuffleNetV2 ×1.0 with a stem for small images.
    ShuffleNetV2,
    /// DenseNet-121 with a stem for small images.
    DenseNet121,
    /// DenseNet-161 with a stem for small images.
    DenseNet161,
    /// DenseNet-169 with a stem for small images.
    DenseNet169,
    /// torchvision's and timm's networks.
    ImageNet(imagenet::ImageNet),
    /// Networks of the distillation benchmarks.
    Distillation(distillation::Distillation),
}

use Architecture::*;

/// An architecture, its canonical name, other accepted names.
type Named = (Architecture, &'static str, &'static [&'static str]);

/// Of the families by some members.
const NAMES: &[Named] = &[
    (Cnn { width: 32 }, "cnn", &["cnn32"]),
    (Mlp, "mlp", &[]),
    (PreResNet20, "preresnet20", &["resnetc20", "resnetc-20"]),
    (PreResNet32, "preresnet32", &["resnetc32", "resnetc-32"]),
    (PreResNet44, "preresnet44", &["resnetc44", "resnetc-44"]),
    (PreResNet56, "preresnet56", &["resnetc56", "resnetc-56"]),
    (PreResNet110, "preresnet110", &["resnetc110", "resnetc-110"]),
    (CifarResNet20, "resnet20", &["resnet-20"]),
    (CifarResNet32, "resnet32", &["resnet-32"]),
    (CifarResNet44, "resnet44", &["resnet-44"]),
    (CifarResNet56, "resnet56", &["resnet-56"]),
    (CifarResNet110, "resnet110", &["resnet-110"]),
    (ResNet18, "resnet18", &["resnet-18"]),
    (ResNet34, "resnet34", &["resnet-34"]),
    (ResNet50, "resnet50", &["resnet-50"]),
    (ResNet101, "resnet101", &["resnet-101"]),
    (ResNext29, "resnext29", &["resnext-29", "resnext29_8x64d", "resnext29-8x64d"]),
    (WideResNet { depth: 16, width: 2 }, "wrn-16-2", &[]),
    (WideResNet { depth: 16, width: 4 }, "wrn-16-4", &[]),
    (WideResNet { depth: 28, width: 10 }, "wrn-28-10", &[]),
    (WideResNet { depth: 40, width: 2 }, "wrn-40-2", &[]),
    (MobileNetV2, "mobilenetv2", &["mobilenet-v2"]),
    (ShuffleNetV2, "shufflenetv2", &["shufflenet-v2"]),
    (DenseNet121, "densenet121", &["densenet-121"]),
    (DenseNet161, "densenet161", &["densenet-161"]),
    (DenseNet169, "densenet169", &["densenet-169"]),
];

/// How the field writes the family `wrn-D-W` before its two numbers.
const WIDE_PREFIXES: [&str; 3] = ["wrn", "wide_resnet", "wideresnet"];

/// Limits on what is built, so that a wrong figure in a file cannot ask for all memory.
const MAX_SIDE: usize = 512;
const MAX_CNN_WIDTH: usize = 256;
const MAX_WIDE_DEPTH: usize = 100;
const MAX_WIDE_WIDTH: usize = 20;

/// All names, in the order of listings.
fn names() -> impl Iterator<Item = Named> {
    let imagenet = imagenet::NAMES.iter().map(|&(network, name, aliases)| (ImageNet(network), name, aliases));
    let distillation =
        distillation::NAMES.iter().map(|&(network, name, aliases)| (Distillation(network), name, aliases));
    NAMES.iter().copied().chain(imagenet).chain(distillation)
}

impl Architecture {
    /// The architectures in the order of the list of names; families by one or two of their members.
    pub fn all() -> impl Iterator<Item = Self> {
        names().map(|(architecture, ..)| architecture)
    }

    /// Other names that are accepted for it.
    pub fn aliases(&self) -> &'static [&'static str] {
        names().find(|(architecture, ..)| architecture == self).map_or(&[], |(_, _, aliases)| aliases)
    }

    /// The sides of images that leave at least one pixel everywhere and ask for no absurd memory.
    pub fn sides(&self) -> RangeInclusive<usize> {
        match self {
            // Three poolings by 2.
            Cnn { .. } | DenseNet121 | DenseNet161 | DenseNet169 => 8..=MAX_SIDE,
            Mlp
            | PreResNet20
            | PreResNet32
            | PreResNet44
            | PreResNet56
            | PreResNet110
            | CifarResNet20
            | CifarResNet32
            | CifarResNet44
            | CifarResNet56
            | CifarResNet110
            | ResNet18
            | ResNet34
            | ResNet50
            | ResNet101
            | ResNext29
            | WideResNet { .. }
            | MobileNetV2
            | ShuffleNetV2 => 1..=MAX_SIDE,
            ImageNet(network) => network.least_side()..=MAX_SIDE,
            Distillation(network) => network.least_side()..=MAX_SIDE,
        }
    }

    /// The side that the network was made for: 224 or 32 pixels.
    pub fn usual_side(&self) -> usize {
        if matches!(self, ImageNet(_)) { 224 } else { 32 }
    }

    /// The spelling of its own tensors.
    pub(super) fn own_spelling(&self) -> Spelling {
        match self {
            ImageNet(network) => network.own_spelling(),
            _ => Spelling::Own,
        }
    }

    /// Other names that checkpoints give its tensors.
    pub(super) fn other_spellings(&self) -> &'static [Spelling] {
        match self {
            ImageNet(network) => network.other_spellings(),
            ResNet18 | ResNet34 | ResNet50 | ResNet101 => &[Spelling::Cifar100],
            _ => &[],
        }
    }

    /// Whether the structure allows this input.
    ///
    /// # Errors
    /// [`NetError::Unbuildable`] naming what is allowed.
    pub fn check(&self, input: Input) -> Result<(), NetError> {
        self.check_family()?;
        let (channels, sides) = (input.channels, self.sides());
        if !matches!(channels, 1 | 3) {
            return self.refuse("images of 1 or 3 channels".into(), format!("{channels} channels"));
        }
        if !sides.contains(&input.side) {
            let allowed = format!("images with a side of {} to {} pixels", sides.start(), sides.end());
            return self.refuse(allowed, format!("a side of {}", input.side));
        }
        Ok(())
    }

    /// Whether the family has this member.
    fn check_family(&self) -> Result<(), NetError> {
        match *self {
            Cnn { width } if !(1..=MAX_CNN_WIDTH).contains(&width) => {
                self.refuse(format!("a width of 1 to {MAX_CNN_WIDTH}"), width.to_string())
            }
            WideResNet { depth, .. } if !(10..=MAX_WIDE_DEPTH).contains(&depth) || depth % 6 != 4 => self
                .refuse(format!("a depth of 10, 16, 22, … to {MAX_WIDE_DEPTH} (6n + 4)"), depth.to_string()),
            WideResNet { width, .. } if !(1..=MAX_WIDE_WIDTH).contains(&width) => {
                self.refuse(format!("a width of 1 to {MAX_WIDE_WIDTH}"), width.to_string())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn refuse(&self, allowed: String, found: String) -> Result<(), NetError> {
        Err(NetError::Unbuildable { architecture: self.to_string(), allowed, found })
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match names().find(|(architecture, ..)| architecture == self) {
            Some((_, name, _)) => f.pad(name),
            None => match self {
                Cnn { width } => f.pad(&format!("cnn{width}")),
                WideResNet { depth, width } => f.pad(&format!("wrn-{depth}-{width}")),
                _ => unreachable!("every architecture outside the families has a name"),
            },
        }
    }
}

impl FromStr for Architecture {
    type Err = NetError;

    fn from_str(name: &str) -> Result<Self, NetError> {
        // The field writes ResNet-18, WRN-28-10, DenseNet121.
        let lower = name.to_ascii_lowercase();
        let is_it = |known: &&str| **known == lower;
        let known = names().find(|(_, canonical, aliases)| is_it(canonical) || aliases.iter().any(is_it));
        if let Some((architecture, ..)) = known {
            return Ok(architecture);
        }
        if let Some(member) = family_member(&lower) {
            return member.check_family().map(|()| member);
        }
        let nearest = names()
            .flat_map(|(_, canonical, aliases)| std::iter::once(canonical).chain(aliases.iter().copied()))
            .max_by(|a, b| strsim::jaro_winkler(&lower, a).total_cmp(&strsim::jaro_winkler(&lower, b)))
            .expect("there are names");
        Err(NetError::UnknownArchitecture { name: name.to_owned(), nearest: nearest.to_owned() })
    }
}

/// `cnn16`; `wrn-28-10`, `wrn_28_10`, `wide_resnet28_10`, …
fn family_member(name: &str) -> Option<Architecture> {
    if let Some(width) = name.strip_prefix("cnn") {
        return width.parse().ok().map(|width| Cnn { width });
    }
    let numbers = WIDE_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let (depth, width) = numbers.trim_start_matches(['-', '_']).split_once(['-', '_'])?;
    Some(WideResNet { depth: depth.parse().ok()?, width: width.parse().ok()? })
}

impl TryFrom<String> for Architecture {
    type Error = NetError;

    fn try_from(name: String) -> Result<Self, NetError> {
        name.parse()
    }
}

impl From<Architecture> for String {
    fn from(architecture: Architecture) -> Self {
        architecture.to_string()
    }
}
