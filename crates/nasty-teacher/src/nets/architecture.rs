//! The closed set of architectures: names, limits, construction.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{NetError, Network};

/// Images as a network takes them: `side` × `side` pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Input {
    /// 1 (grey) or 3 (colour).
    pub channels: usize,
    /// Height and width.
    pub side: usize,
}

/// A network's structure, up to class count and input. Written as its name, in files too.
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
    /// ResNet-18 with a stem for small images.
    ResNet18,
    /// ResNet-34 with a stem for small images.
    ResNet34,
    /// ResNet-50 with a stem for small images.
    ResNet50,
    /// ResNet-101 with a stem for small images.
    ResNet101,
}

use Architecture::*;

/// Canonical name and other accepted names of every architecture but the families `cnnW`.
const NAMES: &[(Architecture, &str, &[&str])] = &[
    (Cnn { width: 32 }, "cnn", &["cnn32"]),
    (Mlp, "mlp", &[]),
    (PreResNet20, "preresnet20", &["resnetc20", "resnetc-20"]),
    (PreResNet32, "preresnet32", &["resnetc32", "resnetc-32"]),
    (PreResNet44, "preresnet44", &["resnetc44", "resnetc-44"]),
    (PreResNet56, "preresnet56", &["resnetc56", "resnetc-56"]),
    (PreResNet110, "preresnet110", &["resnetc110", "resnetc-110"]),
    (ResNet18, "resnet18", &["resnet-18"]),
    (ResNet34, "resnet34", &["resnet-34"]),
    (ResNet50, "resnet50", &["resnet-50"]),
    (ResNet101, "resnet101", &["resnet-101"]),
];

/// Limits on what is built, so that a wrong figure in a file cannot ask for all memory.
const MAX_CLASSES: usize = 100_000;
const MAX_SIDE: usize = 512;
const MAX_CNN_WIDTH: usize = 256;

impl Architecture {
    /// The architectures in the order of the list of names; families by one or two of their members.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(architecture, ..)| *architecture)
    }

    /// Whether the structure allows this input.
    ///
    /// # Errors
    /// [`NetError::Unbuildable`] naming what is allowed.
    pub fn check(&self, input: Input) -> Result<(), NetError> {
        let unbuildable = |allowed: String, found: String| {
            Err(NetError::Unbuildable { architecture: self.to_string(), allowed, found })
        };
        if !matches!(input.channels, 1 | 3) {
            return unbuildable("images of 1 or 3 channels".into(), format!("{} channels", input.channels));
        }
        let least = self.least_side();
        if !(least..=MAX_SIDE).contains(&input.side) {
            return unbuildable(
                format!("images with a side of {least} to {MAX_SIDE} pixels"),
                format!("a side of {}", input.side),
            );
        }
        Ok(())
    }

    /// The smallest side that leaves at least one pixel everywhere.
    fn least_side(&self) -> usize {
        match self {
            Cnn { .. } => 8,
            Mlp | PreResNet20 | PreResNet32 | PreResNet44 | PreResNet56 | PreResNet110 | ResNet18
            | ResNet34 | ResNet50 | ResNet101 => 1,
        }
    }

    /// A network with initial weights that `seed` alone decides, the same on every device. They are drawn when first
    /// used. On an autodiff device the parameters are tracked.
    ///
    /// # Errors
    /// [`NetError::Unbuildable`] for an input or class count that the structure does not allow.
    pub fn build(
        &self,
        classes: usize,
        input: Input,
        seed: u64,
        device: &Device,
    ) -> Result<Network, NetError> {
        self.check(input)?;
        if !(1..=MAX_CLASSES).contains(&classes) {
            return Err(NetError::Unbuildable {
                architecture: self.to_string(),
                allowed: format!("1 to {MAX_CLASSES} classes"),
                found: classes.to_string(),
            });
        }
        Ok(Network::new(*self, classes, input, seed, device))
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(architecture, ..)| architecture == self) {
            Some((_, name, _)) => f.pad(name),
            None => match self {
                Cnn { width } => f.pad(&format!("cnn{width}")),
                _ => unreachable!("every architecture outside the families has a name"),
            },
        }
    }
}

impl FromStr for Architecture {
    type Err = NetError;

    fn from_str(name: &str) -> Result<Self, NetError> {
        let known =
            NAMES.iter().find(|(_, canonical, aliases)| *canonical == name || aliases.contains(&name));
        if let Some((architecture, ..)) = known {
            return Ok(*architecture);
        }
        if let Some(width) = name.strip_prefix("cnn").and_then(|w| w.parse().ok()) {
            return match width {
                1..=MAX_CNN_WIDTH => Ok(Cnn { width }),
                _ => Err(NetError::Unbuildable {
                    architecture: "cnn".into(),
                    allowed: format!("a width of 1 to {MAX_CNN_WIDTH}"),
                    found: width.to_string(),
                }),
            };
        }
        let nearest = NAMES
            .iter()
            .flat_map(|(_, canonical, aliases)| std::iter::once(canonical).chain(*aliases))
            .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)))
            .expect("there are names");
        Err(NetError::UnknownArchitecture { name: name.to_owned(), nearest: (*nearest).to_owned() })
    }
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
