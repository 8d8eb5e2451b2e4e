//! SVHN's cropped digits (Netzer et al., 2011) as they are published: `train_32x32.mat` and `test_32x32.mat`.

use std::path::{Path, PathBuf};

use super::arrays::ArraySplit;
use super::error::DataError;
use super::matlab::{Array, arrays};

const FILES: [&str; 2] = ["train_32x32.mat", "test_32x32.mat"];
/// The published training set has 225 MB.
const LIMIT: u64 = 2 << 30;

/// The two files, if `folder` has both.
pub(super) fn files(folder: &Path) -> Option<[PathBuf; 2]> {
    let files = FILES.map(|name| folder.join(name));
    files.iter().all(|file| file.is_file()).then_some(files)
}

/// Both splits. Label 10 stands for the digit 0.
pub(super) fn load(files: &[PathBuf; 2]) -> Result<(ArraySplit, Option<ArraySplit>), DataError> {
    Ok((split(&files[0])?, Some(split(&files[1])?)))
}

fn split(path: &Path) -> Result<ArraySplit, DataError> {
    let found = arrays(path, &["X", "y"], LIMIT)?;
    let of = |name: &str| found.iter().find(|array| array.name == name).expect("both are there");
    let (images, labels) = (of("X"), of("y"));
    let wrong = |expected: &str, found: String| {
        Err(DataError::malformed(path.display().to_string(), expected, found))
    };
    let [height, width, 3, count] = images.sizes[..] else {
        return wrong("X of [height, width, 3, count]", format!("{:?}", images.sizes));
    };
    if labels.values.len() != count {
        return wrong("one y for each image", format!("{} for {count} images", labels.values.len()));
    }
    if let Some(label) = labels.values.iter().find(|label| !(1..=10).contains(*label)) {
        return wrong("y from 1 to 10", label.to_string());
    }
    Ok(ArraySplit {
        height,
        width,
        channels: 3,
        pixels: rows_first(images, [height, width, 3, count]),
        labels: labels.values.iter().map(|label| u16::from(label % 10)).collect(),
        classes: Some((0..10).map(|digit| digit.to_string()).collect()),
    })
}

/// Pixels `[count, height, width, 3]` of an array whose first index runs fastest.
fn rows_first(images: &Array, [height, width, channels, count]: [usize; 4]) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(images.values.len());
    for n in 0..count {
        let image = &images.values[n * height * width * channels..];
        for y in 0..height {
            for x in 0..width {
                pixels.extend((0..channels).map(|c| image[y + height * (x + width * c)]));
            }
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_turned_row_by_row() {
        // Height 2, width 3, 2 channels, 2 images; each value tells its place.
        let place = |y: usize, x: usize, c: usize, n: usize| (n * 100 + y * 30 + x * 10 + c) as u8;
        let mut values = Vec::new();
        for n in 0..2 {
            for c in 0..2 {
                for x in 0..3 {
                    values.extend((0..2).map(|y| place(y, x, c, n)));
                }
            }
        }
        let array = Array { name: "X".into(), sizes: vec![2, 3, 2, 2], values };
        let pixels = rows_first(&array, [2, 3, 2, 2]);
        assert_eq!(pixels[..6], [0, 1, 10, 11, 20, 21]);
        assert_eq!(pixels[6], place(1, 0, 0, 0));
        assert_eq!(pixels[12], place(0, 0, 0, 1));
    }
}
