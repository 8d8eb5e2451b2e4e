//! Networks from outside the store: by folder, and the normalisations that weights of the world were trained with.

use super::{JobError, Store};
use crate::data::{DataName, Normalisation};
use crate::nets::{self, Input, Network, NetworkConfig};
use burn::tensor::Device;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// How images were normalised when weights were trained; as text, `imagenet`, `none`, or a data set's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownNormalisation {
    /// torchvision's figures for ImageNet.
    Imagenet,
    /// Pixels in 0..1 as they are.
    None,
    /// What published results on a data set used.
    Of(DataName),
}

impl KnownNormalisation {
    /// The names, for messages.
    pub const NAMES: &str = "imagenet, none, cifar10, cifar100, tiny-imagenet, fashion-mnist, mnist";

    /// What is assumed of weights about which nothing is known but their input: the published scripts' figures for the
    /// data set whose images have that shape.
    pub fn assumed(input: Input) -> Self {
        Self::Of(match (input.channels, input.side) {
            (1, _) => DataName::FashionMnist,
            (_, 64) => DataName::TinyImagenet,
            _ => DataName::Cifar10,
        })
    }

    /// Mean and standard deviation for images of `channels` channels.
    pub fn values(&self, channels: usize) -> Normalisation {
        match self {
            Self::Imagenet => {
                Normalisation { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] }
            }
            Self::None => Normalisation { mean: vec![0.0; channels], std: vec![1.0; channels] },
            Self::Of(name) => {
                name.published_normalisation().expect("only named data sets are made into this")
            }
        }
    }
}

impl fmt::Display for KnownNormalisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Imagenet => f.write_str("imagenet"),
            Self::None => f.write_str("none"),
            Self::Of(name) => name.fmt(f),
        }
    }
}

impl FromStr for KnownNormalisation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "imagenet" => Ok(Self::Imagenet),
            "none" => Ok(Self::None),
            "cifar" => Ok(Self::Of(DataName::Cifar10)),
            _ => match name.parse() {
                Ok(set @ DataName::Folder(_)) => Err(format!("expected {}, found {set}", Self::NAMES)),
                Ok(set) => Ok(Self::Of(set)),
                Err(_) => Err(format!("expected {}", Self::NAMES)),
            },
        }
    }
}

/// The network that `reference` means: a folder with a `config.json` as it is, else a run of the store at `store`.
///
/// # Errors
/// [`JobError`] when there is none, or when its files are damaged.
pub fn load_network(
    reference: &str,
    store: &Path,
    device: &Device,
) -> Result<(Network, NetworkConfig), JobError> {
    let folder = Path::new(reference);
    if folder.join(nets::CONFIG_FILE).is_file() {
        return Ok(nets::load(folder, device)?);
    }
    let store = Store::look(store);
    Ok(nets::load(&store.network(&store.resolve(reference)?), device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_normalisations_survive_a_round_trip() {
        for name in KnownNormalisation::NAMES.split(", ") {
            let known: KnownNormalisation = name.parse().expect(name);
            assert_eq!(known.to_string(), name);
        }
        assert_eq!("cifar".parse(), Ok(KnownNormalisation::Of(DataName::Cifar10)));
        for name in ["imagenet2", "folder:/x", ""] {
            assert!(name.parse::<KnownNormalisation>().expect_err(name).contains("imagenet"));
        }
        let grey = KnownNormalisation::assumed(Input { channels: 1, side: 32 });
        assert_eq!(grey.values(1).mean.len(), 1);
        assert_eq!(KnownNormalisation::None.values(1).std, [1.0]);
    }
}
