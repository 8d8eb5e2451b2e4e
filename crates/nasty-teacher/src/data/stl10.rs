//! STL-10 (Coates et al., AISTATS 2011) as it is published: the files of `stl10_binary`. The unlabelled images are not read.

use std::path::{Path, PathBuf};

use super::arrays::ArraySplit;
use super::error::DataError;
use super::files::read_bounded;

/// Rows and columns of every image.
const SIDE: usize = 96;
const IMAGE: usize = 3 * SIDE * SIDE;
/// The largest file with labels, `test_X.bin`, has 221 MB.
const LIMIT: u64 = 1 << 30;

/// The folder with the four files: `folder` or `stl10_binary` in it.
pub(super) fn place(folder: &Path) -> Option<PathBuf> {
    let has_all = |place: &PathBuf| {
        ["train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"]
            .iter()
            .all(|name| place.join(name).is_file())
    };
    [folder.to_owned(), folder.join("stl10_binary")].into_iter().find(has_all)
}

/// Both splits.
pub(super) fn load(place: &Path) -> Result<(ArraySplit, Option<ArraySplit>), DataError> {
    let names = read_bounded(&place.join("class_names.txt"), 1 << 16).ok();
    let names = names.map(|bytes| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    });
    let split = |name: &str| split(place, name, names.clone());
    Ok((split("train")?, Some(split("test")?)))
}

fn split(place: &Path, name: &str, classes: Option<Vec<String>>) -> Result<ArraySplit, DataError> {
    let [images, labels] = ["X", "y"].map(|part| place.join(format!("{name}_{part}.bin")));
    let (stored, numbers) = (read_bounded(&images, LIMIT)?, read_bounded(&labels, LIMIT)?);
    if stored.len() != numbers.len() * IMAGE {
        let expected = format!("{} bytes for {} labels", numbers.len() * IMAGE, numbers.len());
        return Err(DataError::malformed(images.display().to_string(), expected, stored.len().to_string()));
    }
    if let Some(label) = numbers.iter().find(|label| !(1..=10).contains(*label)) {
        return Err(DataError::malformed(
            labels.display().to_string(),
            "labels from 1 to 10",
            label.to_string(),
        ));
    }
    // Each image is three planes, one a channel, each column by column.
    let pixels = stored.chunks_exact(IMAGE).flat_map(|image| {
        (0..SIDE * SIDE).flat_map(move |i| {
            let (y, x) = (i / SIDE, i % SIDE);
            (0..3).map(move |c| image[c * SIDE * SIDE + x * SIDE + y])
        })
    });
    Ok(ArraySplit {
        height: SIDE,
        width: SIDE,
        channels: 3,
        pixels: pixels.collect(),
        labels: numbers.iter().map(|label| u16::from(label - 1)).collect(),
        classes,
    })
}
