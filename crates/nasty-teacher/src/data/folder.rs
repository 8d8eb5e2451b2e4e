//! A folder of the user's own: which of the known layouts it has.

use std::path::Path;

use super::arrays::ArraySplit;
use super::class_folders;
use super::error::DataError;
use super::framing::Framing;
use super::splits::Splits;
use super::{idx, metadata_folder, parquet_shards, stl10, svhn};

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
