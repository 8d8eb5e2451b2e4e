//! The two splits of a data set, and which files of a folder belong to them.

use std::path::{Path, PathBuf};

use super::class_folders::{TEST, TRAIN, names, subfolder};
use super::error::DataError;
use super::image_set::ImageSet;

/// Class names, training and test set.
pub(super) type Splits = (Vec<String>, (ImageSet, ImageSet));

/// Which of two splits a file is of, by its name; none if it says neither.
pub(super) fn is_training(name: &str) -> Option<bool> {
    let name = name.to_lowercase();
    if name.contains("train") {
        return Some(true);
    }
    ["test", "t10k", "val"].iter().any(|part| name.contains(part)).then_some(false)
}

/// The folders in which the files of a data set may lie: `folder`, its `data/`, and the splits in both.
pub(super) fn places(folder: &Path) -> Vec<PathBuf> {
    let data = folder.join("data");
    let roots = [folder.to_owned(), data].into_iter().filter(|root| root.is_dir());
    let with_splits = |root: PathBuf| {
        let splits = [subfolder(&root, &TRAIN), subfolder(&root, &TEST)];
        std::iter::once(root).chain(splits.into_iter().flatten())
    };
    roots.flat_map(with_splits).collect()
}

/// The files in `folder` whose names in lower case `wanted` accepts, ascending.
pub(super) fn files_named(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, DataError> {
    let fits = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
        path.is_file() && name.is_some_and(|name| wanted(&name))
    };
    Ok(names(folder)?.into_iter().map(|name| folder.join(name)).filter(fits).collect())
}
