//! The closed set of data sets, and loading one of them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::cifar::{CIFAR10, CIFAR100};
use super::error::DataError;
use super::framing::Framing;
use super::image_set::{DataSet, ImageSet, Normalisation};
use super::roots::{DataRoots, first};
use super::{class_names, folder, idx, tiny_imagenet};

/// A data set, by name. As text, and in serde: `quickstart`, `cifar10`, `cifar100`, `tiny-imagenet`,
/// `fashion-mnist`, `mnist`, `folder:/path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DataName {
    /// 6,000 training images of Fashion-MNIST and its whole test set, inside the program.
    Quickstart,
    /// CIFAR-10: 50,000 + 10,000 images, 32×32, 10 classes.
    Cifar10,
    /// CIFAR-100: 50,000 + 10,000 images, 32×32, 100 (fine) classes.
    Cifar100,
    /// Tiny-ImageNet: 100,000 + 10,000 images, 64×64, 200 classes; its validation images are the test set.
    TinyImagenet,
    /// Fashion-MNIST: 60,000 + 10,000 grey images, 28×28, 10 classes.
    FashionMnist,
    /// MNIST: 60,000 + 10,000 grey images, 28×28, 10 classes.
    Mnist,
    /// A folder of images: `train/` and `test/` (or `val/`), in each one folder a class, or class folders alone.
    Folder(PathBuf),
}

impl DataName {
    /// Every data set that has a name of its own.
    pub const NAMED: [DataName; 6] = [
        Self::Quickstart,
        Self::Cifar10,
        Self::Cifar100,
        Self::TinyImagenet,
        Self::FashionMnist,
        Self::Mnist,
    ];

    /// The mean and standard deviation that published results were made with; none for folders, where they
    /// are computed from the training images.
    pub fn published_normalisation(&self) -> Option<Normalisation> {
        let (mean, std): (&[f32], &[f32]) = match self {
            // The public scripts use CIFAR-10's figures for both.
            Self::Cifar10 | Self::Cifar100 => (&[0.4914, 0.4822, 0.4465], &[0.247, 0.243, 0.261]),
            Self::TinyImagenet => (&[0.4802, 0.4481, 0.3975], &[0.2302, 0.2265, 0.2262]),
            Self::Quickstart | Self::FashionMnist => (&[0.2860], &[0.3530]),
            Self::Mnist => (&[0.1307], &[0.3081]),
            Self::Folder(_) => return None,
        };
        Some(Normalisation { mean: mean.to_vec(), std: std.to_vec() })
    }
}

impl fmt::Display for DataName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quickstart => "quickstart",
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::TinyImagenet => "tiny-imagenet",
            Self::FashionMnist => "fashion-mnist",
            Self::Mnist => "mnist",
            Self::Folder(path) => return write!(f, "folder:{}", path.display()),
        })
    }
}

impl FromStr for DataName {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        if let Some(path) = name.strip_prefix("folder:").filter(|path| !path.is_empty()) {
            return Ok(Self::Folder(path.into()));
        }
        // The field writes CIFAR-10, cifar_10, FashionMNIST.
        let letters = |name: &str| {
            name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
        };
        if let Some(known) =
            Self::NAMED.into_iter().find(|known| letters(&known.to_string()) == letters(name))
        {
            return Ok(known);
        }
        let known: Vec<String> =
            Self::NAMED.iter().map(ToString::to_string).chain(["folder:PATH".to_owned()]).collect();
        let nearest = match Path::new(name).is_dir() {
            true => format!("folder:{name}"),
            false => known.iter().min_by_key(|known| edits(name, known)).cloned().unwrap_or_default(),
        };
        Err(DataError::UnknownName { name: name.into(), nearest, known: known.join(", ") })
    }
}

impl TryFrom<String> for DataName {
    type Error = DataError;

    fn try_from(name: String) -> Result<Self, DataError> {
        name.parse()
    }
}

impl From<DataName> for String {
    fn from(name: DataName) -> Self {
        name.to_string()
    }
}

/// Levenshtein's distance: the fewest insertions, deletions and replacements that turn `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Reads a data set into memory. `side` makes squares of the pictures of a [`DataName::Folder`].
///
/// # Errors
/// [`DataError`] when the data set is not there, is damaged or incomplete, or when `side` is given for a data
/// set whose size is fixed.
pub fn load(name: &DataName, roots: &DataRoots, side: Option<Framing>) -> Result<DataSet, DataError> {
    if side.is_some() && !matches!(name, DataName::Folder(_)) {
        return Err(DataError::Impossible {
            what: format!("data.side was given for {name}, whose images have a fixed size"),
            help: "only folder:PATH data sets can be resized: leave the side out".into(),
        });
    }
    let (classes, (train, test)) = match name {
        DataName::Quickstart => (strings(&class_names::FASHION_MNIST), quickstart()?),
        DataName::Cifar10 => (strings(CIFAR10.classes), CIFAR10.load(roots)?),
        DataName::Cifar100 => (strings(CIFAR100.classes), CIFAR100.load(roots)?),
        DataName::FashionMnist => {
            let folder = first(roots.fashion_mnist(), "Fashion-MNIST", "fashion-mnist")?;
            (strings(&class_names::FASHION_MNIST), idx::load(&folder)?)
        }
        DataName::Mnist => {
            let folder = first(roots.mnist(), "MNIST", "mnist")?;
            (strings(&class_names::MNIST), idx::load(&folder)?)
        }
        DataName::TinyImagenet => tiny_imagenet::load(roots)?,
        DataName::Folder(path) => folder::load(path, side)?,
    };
    let normalisation = name.published_normalisation().unwrap_or_else(|| Normalisation::of(&train));
    Ok(DataSet { name: name.to_string(), classes, train, test, normalisation })
}

/// Every place where a data set may lie, in the order they are looked at; none for the embedded one.
pub(super) fn places(name: &DataName, roots: &DataRoots) -> Vec<PathBuf> {
    match name {
        DataName::Quickstart => Vec::new(),
        DataName::Cifar10 => CIFAR10.places(roots),
        DataName::Cifar100 => CIFAR100.places(roots),
        DataName::TinyImagenet => tiny_imagenet::places(roots),
        DataName::FashionMnist => roots.fashion_mnist(),
        DataName::Mnist => roots.mnist(),
        DataName::Folder(path) => vec![path.clone()],
    }
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.into()).collect()
}

/// The embedded subset of Fashion-MNIST; `assets/fashion-mnist/README.md` says how it was made.
fn quickstart() -> Result<(ImageSet, ImageSet), DataError> {
    macro_rules! asset {
        ($name:literal) => {
            include_bytes!(concat!("../../assets/fashion-mnist/", $name, ".gz"))
        };
    }
    Ok((
        idx::embedded(asset!("train-images-idx3-ubyte"), asset!("train-labels-idx1-ubyte"), 6_000)?,
        idx::embedded(asset!("t10k-images-idx3-ubyte"), asset!("t10k-labels-idx1-ubyte"), 10_000)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_a_round_trip_as_text_and_in_serde() {
        for name in DataName::NAMED.into_iter().chain([DataName::Folder("/some/where".into())]) {
            assert_eq!(name.to_string().parse::<DataName>().unwrap(), name);
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<DataName>(&json).unwrap(), name);
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_nearest() {
        for (typed, meant) in [
            ("cifar", "cifar10"),
            ("fasion-mnist", "fashion-mnist"),
            ("folder:", "folder:PATH"),
            ("..", "folder:.."),
        ] {
            match typed.parse::<DataName>().unwrap_err() {
                DataError::UnknownName { nearest, .. } => assert_eq!(nearest, meant),
                other => panic!("{other}"),
            }
        }
        for typed in ["CIFAR10", "cifar-10", "Cifar_10"] {
            assert_eq!(typed.parse::<DataName>().expect(typed), DataName::Cifar10);
        }
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
    }

    #[test]
    fn the_embedded_quickstart_data_is_what_its_readme_says() {
        let roots = DataRoots::resolve(Some("/nowhere".into())).unwrap();
        let data = load(&DataName::Quickstart, &roots, None).unwrap();
        assert_eq!((data.train.len(), data.test.len()), (6_000, 10_000));
        assert_eq!(data.train.class_counts(10), [600; 10]);
        assert_eq!(data.test.class_counts(10), [1000; 10]);
        assert_eq!((data.train.height, data.train.width, data.train.channels), (28, 28, 1));
        assert_eq!(data.train.labels[..6], [9, 0, 0, 3, 0, 2]);
        assert!(
            load(&DataName::Quickstart, &roots, Some(Framing::square(32)))
                .unwrap_err()
                .to_string()
                .contains("fixed size")
        );
    }
}
