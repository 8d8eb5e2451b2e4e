//! Where data sets lie.

use std::path::{Path, PathBuf};

use super::error::DataError;

/// The environment variable that names the folder of data sets.
const VARIABLE: &str = "NASTY_DATA_DIR";
/// The default folder, under the home folder.
const DEFAULT: &str = ".cache/nasty-teacher/datasets";
/// Where Debian's package `dataset-fashion-mnist` puts its files.
const DEBIAN_FASHION_MNIST: &str = "/usr/share/datasets/fashion-mnist";

/// The folders that data sets are looked for in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRoots {
    folder: PathBuf,
}

impl DataRoots {
    /// `explicit` (`--data-dir`), else the environment's `NASTY_DATA_DIR`, else
    /// `~/.cache/nasty-teacher/datasets`.
    ///
    /// # Errors
    /// [`DataError::Impossible`] when none of the three is known.
    pub fn resolve(explicit: Option<PathBuf>) -> Result<Self, DataError> {
        let variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        let default = || std::env::home_dir().map(|home| home.join(DEFAULT));
        match explicit.or(variable).or_else(default) {
            Some(folder) => Ok(Self { folder }),
            None => Err(DataError::Impossible {
                what: "no folder for data sets: there is no home folder".into(),
                help: format!("give one with --data-dir or {VARIABLE}"),
            }),
        }
    }

    /// The folder that holds the data sets, and that fetched ones are put into.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Folders that may hold Fashion-MNIST's four files.
    pub(super) fn fashion_mnist(&self) -> Vec<PathBuf> {
        let mut places = self.under(&["fashion-mnist", "FashionMNIST/raw"]);
        places.push(DEBIAN_FASHION_MNIST.into());
        places
    }

    /// Places under the folder.
    pub(super) fn under(&self, places: &[&str]) -> Vec<PathBuf> {
        places.iter().map(|place| self.folder.join(place)).collect()
    }
}

/// The first of `places` that exists.
pub(super) fn first(places: Vec<PathBuf>, what: &str, get: &str) -> Result<PathBuf, DataError> {
    match places.iter().find(|place| place.exists()) {
        Some(place) => Ok(place.clone()),
        None => Err(DataError::Missing {
            what: what.into(),
            looked: places,
            help: format!("`nasty data get {get}` fetches it; --data-dir or {VARIABLE} names another folder"),
        }),
    }
}
