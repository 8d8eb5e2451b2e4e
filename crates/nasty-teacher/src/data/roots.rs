//! The folders in which data sets are looked for.

use std::path::{Path, PathBuf};

use super::error::DataError;

/// The environment variable that names the folder of data sets.
const VARIABLE: &str = "NASTY_DATA_DIR";
/// The default folder, under the home folder.
const DEFAULT: &str = ".cache/nasty-teacher/datasets";
/// Where Debian's packages, such as `dataset-fashion-mnist`, put data sets.
const SYSTEM: &str = "/usr/share/datasets";

/// The folders that data sets are looked for in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRoots {
    folder: PathBuf,
    /// Data sets that the system's packages installed; only read.
    system: PathBuf,
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
            Some(folder) => Ok(Self { folder, system: SYSTEM.into() }),
            None => Err(DataError::Impossible {
                what: "no folder for data sets: there is no home folder".into(),
                help: format!("set {VARIABLE} to one"),
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
        places.push(self.system.join("fashion-mnist"));
        places
    }

    /// Folders that may hold MNIST's four files.
    pub(super) fn mnist(&self) -> Vec<PathBuf> {
        self.under(&["mnist", "MNIST/raw"])
    }

    /// Places under the folder; the folder itself, where it is named like one of them.
    pub(super) fn under(&self, places: &[&str]) -> Vec<PathBuf> {
        let itself = places.iter().filter(|place| self.folder.ends_with(place)).map(|_| self.folder.clone());
        places.iter().map(|place| self.folder.join(place)).chain(itself).collect()
    }
}

/// The first of `places` that exists.
pub(super) fn first(places: Vec<PathBuf>, what: &str, get: &str) -> Result<PathBuf, DataError> {
    match places.iter().find(|place| place.exists()) {
        Some(place) => Ok(place.clone()),
        None => Err(DataError::Missing {
            what: what.into(),
            looked: places,
            help: format!("`nasty data get {get}` fetches it; set {VARIABLE} to use another folder"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_systems_packages_installed_is_found_last() {
        let (own, system) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let roots = DataRoots { folder: own.path().into(), system: system.path().into() };
        let find = || first(roots.fashion_mnist(), "Fashion-MNIST", "fashion-mnist");
        assert!(matches!(find(), Err(DataError::Missing { looked, .. }) if looked.len() == 3));
        std::fs::create_dir(system.path().join("fashion-mnist")).unwrap();
        assert_eq!(find().unwrap(), system.path().join("fashion-mnist"));
        std::fs::create_dir(own.path().join("fashion-mnist")).unwrap();
        assert_eq!(find().unwrap(), own.path().join("fashion-mnist"));

        let roots = DataRoots::resolve(Some(own.path().into())).unwrap();
        assert!(roots.fashion_mnist().contains(&"/usr/share/datasets/fashion-mnist".into()));
        let itself = DataRoots::resolve(Some(own.path().join("fashion-mnist"))).unwrap();
        assert!(itself.fashion_mnist().contains(&own.path().join("fashion-mnist")));
    }
}
