//! Networks from outside the store: loaded from folders and adapted to a data set, and common normalisations of
//! published weights.

use super::error::JobError;
use super::misfit::Misfit;
use super::store::Store;
use crate::data::{ClassMap, DataName, DataSet, Normalisation, class_map};
use crate::nets::{self, Input, Network, NetworkConfig};
use burn::tensor::Device;
use std::fmt;
use std::path::{Path, PathBuf};
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
    Ok(nets::load(&network_folder(reference, store)?, device)?)
}

/// The folder of the network that `reference` means, as [`load_network`] takes it.
///
/// # Errors
/// [`JobError`] if neither a folder nor a run is called so.
pub fn network_folder(reference: &str, store: &Path) -> Result<PathBuf, JobError> {
    let folder = Path::new(reference);
    if folder.join(nets::CONFIG_FILE).is_file() {
        return Ok(folder.to_owned());
    }
    let store = Store::look(store);
    Ok(store.network(&store.resolve(reference)?))
}

/// A network whose outputs are in the order of a data set's classes.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// The network.
    pub network: Network,
    /// Its description; the names of the classes are the data's.
    pub config: NetworkConfig,
    /// How its outputs belonged to the classes.
    pub map: ClassMap,
    /// What a person should know of that.
    pub note: Option<String>,
}

/// `network` as it is used with `data`: its classes are matched by name, and its outputs put into the data's order.
/// `device` is where the network is.
///
/// # Errors
/// [`Misfit`] if it takes other images or tells other classes apart.
pub fn fit(
    network: Network,
    mut config: NetworkConfig,
    data: &DataSet,
    device: &Device,
) -> Result<Fitted, Misfit> {
    let (input, images) = (network.input(), &data.test);
    if (images.channels, images.height, images.width) != (input.channels, input.side, input.side) {
        let found = format!("{}×{}×{}", images.channels, images.height, images.width);
        return Err(Misfit::Input { network: input, found });
    }
    let map = class_map(&config.label_names, &data.classes)?;
    let note = map.note(&config.label_names, &data.classes);
    let network = match map.order() {
        Some(order) => network.with_outputs(order, device)?,
        None => network,
    };
    config.label_names.clone_from(&data.classes);
    Ok(Fitted { network, config, map, note })
}

impl Fitted {
    /// What the network's answers are known by in tables, given what the network is known by.
    pub(super) fn known_as(&self, network: &str) -> String {
        match self.map.order() {
            None => network.to_owned(),
            Some(order) => format!("{network} {order:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageSet;
    use crate::device::device;

    fn data(classes: &[&str]) -> DataSet {
        let images = ImageSet::new(8, 8, 1, vec![0; 64], vec![0]);
        DataSet {
            name: "x".into(),
            classes: classes.iter().map(|c| (*c).to_owned()).collect(),
            test: images.clone(),
            train: images,
            normalisation: Normalisation { mean: vec![0.5], std: vec![0.5] },
        }
    }

    #[test]
    fn a_network_is_fitted_by_name_or_refused() {
        let flex = device("flex").expect("the CPU");
        let network = |side| {
            let architecture: crate::nets::Architecture = "cnn1".parse().expect("a name");
            let network = architecture.build(3, Input { channels: 1, side }, 1, &flex).expect("built");
            let names = ["1", "2", "10"].map(str::to_owned).to_vec();
            let config = NetworkConfig::new(&network, vec![0.5], vec![0.5], names);
            (network, config)
        };
        let fitted = |side, classes: &[&str]| {
            let (network, config) = network(side);
            fit(network, config, &data(classes), &flex)
        };
        let same = fitted(8, &["1", "2", "10"]).expect("the same");
        assert_eq!((same.map, same.note), (ClassMap::Same, None));
        let other = fitted(8, &["1", "10", "2"]).expect("another order");
        assert_eq!(other.map.order(), Some(&[0, 2, 1][..]));
        assert_eq!(other.config.label_names, ["1", "10", "2"]);
        assert_eq!(other.known_as("w"), "w [0, 2, 1]");
        assert!(other.note.is_some());
        let error = fitted(8, &["1", "10"]).expect_err("other classes").to_string();
        assert!(error.contains("the network has 3"), "{error}");
        let error = fitted(9, &["1", "2", "10"]).expect_err("other images").to_string();
        assert!(error.contains("1×9×9") && error.contains("1×8×8"), "{error}");
    }

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
