//! A folder of the user's own: which of the known layouts it has.

use std::path::{Path, PathBuf};

use super::arrays::ArraySplit;
use super::class_folders::{self, TEST, TRAIN, names, subfolder};
use super::error::DataError;
use super::framing::Framing;
use super::image_set::ImageSet;
use super::{idx, metadata_folder, parquet_shards, stl10, svhn};

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

/// Reads `folder`, whatever layout it has: SVHN's or STL-10's files, IDX files, Parquet shards, pictures with a
/// `metadata.csv` or `metadata.jsonl`, or class folders. By the `framing`, the images become squares.
pub(super) fn load(folder: &Path, framing: Option<Framing>) -> Result<Splits, DataError> {
    if let Some(framing) = framing {
        framing.check()?;
    }
    let arrays = |splits: (ArraySplit, Option<ArraySplit>)| ArraySplit::finish(splits, folder, framing);
    if let Some(files) = svhn::files(folder) {
        return arrays(svhn::load(&files)?);
    }
    if let Some(place) = stl10::place(folder) {
        return arrays(stl10::load(&place)?);
    }
    if let Some(files) = idx::own_files(folder)? {
        return arrays(idx::load_own(&files)?);
    }
    let shards = parquet_shards::files(folder)?;
    if !shards.is_empty() {
        return parquet_shards::load(folder, &shards, framing);
    }
    if let Some(tables) = metadata_folder::tables(folder) {
        return metadata_folder::load(folder, &tables, framing);
    }
    class_folders::load(folder, framing)
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
