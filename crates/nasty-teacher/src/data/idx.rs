//! IDX files (MNIST, Fashion-MNIST), gzipped or not: a magic number, sizes, then the bytes.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::arrays::ArraySplit;
use super::budget;
use super::error::DataError;
use super::files::{damaged, maybe_gzip, open_maybe_gzip, read_exactly};
use super::image_set::ImageSet;
use super::splits::{files_named, is_training};

/// Rows and columns of every image of the two sets.
const SIDE: usize = 28;
/// Classes of the two sets.
const CLASSES: u16 = 10;

/// Names of the files, images before labels, training before test, without `.gz`.
pub(super) const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// Training (60,000 images) and test set (10,000) from the four files in `folder`.
pub(super) fn load(folder: &Path) -> Result<(ImageSet, ImageSet), DataError> {
    let split = |images: &str, labels: &str, count: usize| -> Result<ImageSet, DataError> {
        let (images, labels) = (find(folder, images)?, find(folder, labels)?);
        let name = |path: &Path| path.display().to_string();
        let pixels = read_images(&name(&images), open_maybe_gzip(&images)?, count)?;
        let labels = read_labels(&name(&labels), open_maybe_gzip(&labels)?, count)?;
        Ok(image_set(pixels, labels))
    };
    Ok((split(FILES[0], FILES[1], 60_000)?, split(FILES[2], FILES[3], 10_000)?))
}

/// Image and label files of the user's own: of the training set, and of the test set if there is one.
pub(super) struct OwnFiles {
    train: [PathBuf; 2],
    test: Option<[PathBuf; 2]>,
}

/// The IDX files in `folder` or its `raw/`: images `…images-idx3-ubyte` or `….idx3-ubyte`, labels of the same name with
/// `labels` and `idx1`, gzipped or not. None if there are no images.
pub(super) fn own_files(folder: &Path) -> Result<Option<OwnFiles>, DataError> {
    let is_images = |name: &str| name.trim_end_matches(".gz").ends_with("idx3-ubyte");
    let mut images = Vec::new();
    for place in [folder.to_owned(), folder.join("raw")].iter().filter(|place| place.is_dir()) {
        images.extend(files_named(place, is_images)?);
    }
    if images.is_empty() {
        return Ok(None);
    }
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let of = |training: bool| {
        let of_split = |path: &&PathBuf| is_training(&name(path)).unwrap_or(true) == training;
        let mut files = images.iter().filter(of_split);
        match (files.next(), files.next()) {
            (first, None) => Ok(first),
            (Some(first), Some(second)) => Err(DataError::malformed(
                folder.display().to_string(),
                "one file of images for each split",
                format!("{} and {}", name(first), name(second)),
            )),
            (None, Some(_)) => unreachable!("the first comes first"),
        }
    };
    let with_labels = |images: &PathBuf| {
        let labels = name(images).trim_end_matches(".gz").replace("images", "labels").replace("idx3", "idx1");
        let place = images.parent().unwrap_or(folder);
        let looked = vec![place.join(&labels), place.join(format!("{labels}.gz"))];
        match looked.iter().find(|path| path.is_file()) {
            Some(found) => Ok([images.clone(), found.clone()]),
            None => Err(DataError::Missing {
                what: format!("the labels of {}", images.display()),
                looked,
                help:
                    "labels have the name of their images, with `labels` for `images` and `idx1` for `idx3`"
                        .into(),
            }),
        }
    };
    let Some(train) = of(true)? else {
        let expected = "training images (train-images-idx3-ubyte)";
        return Err(DataError::malformed(folder.display().to_string(), expected, "test images only"));
    };
    Ok(Some(OwnFiles { train: with_labels(train)?, test: of(false)?.map(with_labels).transpose()? }))
}

/// Splits of any number of grey images of any size, with labels from 0 to 255.
pub(super) fn load_own(files: &OwnFiles) -> Result<(ArraySplit, Option<ArraySplit>), DataError> {
    let split = |[images, labels]: &[PathBuf; 2]| {
        let name = |path: &Path| path.display().to_string();
        let (sizes, pixels) = read_any(&name(images), open_maybe_gzip(images)?, 3)?;
        let (counted, numbers) = read_any(&name(labels), open_maybe_gzip(labels)?, 1)?;
        if counted[0] != sizes[0] {
            let (expected, found) = (format!("{} labels", sizes[0]), counted[0].to_string());
            return Err(DataError::malformed(name(labels), expected, found));
        }
        Ok(ArraySplit {
            height: sizes[1],
            width: sizes[2],
            channels: 1,
            pixels,
            labels: numbers.into_iter().map(u16::from).collect(),
            classes: None,
        })
    };
    Ok((split(&files.train)?, files.test.as_ref().map(split).transpose()?))
}

/// Sizes and bytes of an IDX file of unsigned bytes with so many dimensions.
fn read_any(
    label: &str,
    mut reader: impl Read,
    dimensions: usize,
) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let sizes = read_header(label, &mut reader, dimensions)?;
    let total = sizes.iter().try_fold(1u128, |product, size| product.checked_mul(*size as u128));
    let sizes_fit = sizes.iter().skip(1).all(|size| (1..=4096).contains(size));
    let Some(total) = total.filter(|_| sizes_fit) else {
        return Err(DataError::malformed(label, "images of 1 to 4096 pixels a side", format!("{sizes:?}")));
    };
    let total = budget::check(sizes[0], total)?;
    Ok((sizes, read_exactly(label, reader, total as u64)?))
}

/// A split of `count` images from two gzipped files in memory.
pub(super) fn embedded(images: &[u8], labels: &[u8], count: usize) -> Result<ImageSet, DataError> {
    let label = "embedded Fashion-MNIST";
    let open = |bytes| maybe_gzip(bytes).map_err(|error| damaged(label, error));
    Ok(image_set(read_images(label, open(images)?, count)?, read_labels(label, open(labels)?, count)?))
}

/// MD5 of the two uncompressed files that hold `set`, images before labels.
pub(super) fn md5(set: &ImageSet) -> [String; 2] {
    use md5::{Digest, Md5};
    let of = |sizes: &[usize], body: &mut dyn Iterator<Item = &[u8]>| {
        let mut hash = Md5::new_with_prefix((0x800 | sizes.len() as u32).to_be_bytes());
        sizes.iter().for_each(|&size| hash.update((size as u32).to_be_bytes()));
        body.for_each(|part| hash.update(part));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let labels: Vec<u8> = set.labels.iter().map(|&label| label as u8).collect();
    let images = of(&[set.len(), set.height, set.width], &mut set.images());
    [images, of(&[set.len()], &mut std::iter::once(&labels[..]))]
}

fn image_set(pixels: Vec<u8>, labels: Vec<u16>) -> ImageSet {
    ImageSet::new(SIDE, SIDE, 1, pixels, labels)
}

fn find(folder: &Path, name: &str) -> Result<PathBuf, DataError> {
    let looked = vec![folder.join(name), folder.join(format!("{name}.gz"))];
    match looked.iter().find(|path| path.exists()) {
        Some(path) => Ok(path.clone()),
        None => Err(DataError::Missing {
            what: format!("the file {name}"),
            looked,
            help: "the data set is incomplete: `nasty data get` completes it".into(),
        }),
    }
}

fn read_images(label: &str, reader: impl Read, count: usize) -> Result<Vec<u8>, DataError> {
    read_body(label, reader, &[count, SIDE, SIDE])
}

fn read_labels(label: &str, reader: impl Read, count: usize) -> Result<Vec<u16>, DataError> {
    let labels: Vec<u16> = read_body(label, reader, &[count])?.into_iter().map(u16::from).collect();
    match labels.iter().position(|&class| class >= CLASSES) {
        Some(i) => Err(DataError::malformed(
            label,
            format!("labels below {CLASSES}"),
            format!("label {} at image {i}", labels[i]),
        )),
        None => Ok(labels),
    }
}

/// The bytes after the header of an IDX file of unsigned bytes, which must have exactly the given sizes.
fn read_body(label: &str, mut reader: impl Read, sizes: &[usize]) -> Result<Vec<u8>, DataError> {
    let found = read_header(label, &mut reader, sizes.len())?;
    if found != sizes {
        return Err(DataError::malformed(label, format!("sizes {sizes:?}"), format!("{found:?}")));
    }
    read_exactly(label, reader, sizes.iter().product::<usize>() as u64)
}

/// The sizes in the header of an IDX file of unsigned bytes with so many dimensions.
fn read_header(label: &str, reader: &mut impl Read, dimensions: usize) -> Result<Vec<usize>, DataError> {
    let mut word = || -> Result<u32, DataError> {
        let mut word = [0; 4];
        reader.read_exact(&mut word).map_err(|error| damaged(label, error))?;
        Ok(u32::from_be_bytes(word))
    };
    let magic = 0x800 | dimensions as u32; // unsigned bytes, number of dimensions
    let found = word()?;
    if found != magic {
        return Err(DataError::malformed(
            label,
            format!("an IDX file (magic number {magic:#06x})"),
            format!("magic number {found:#06x}"),
        ));
    }
    (0..dimensions).map(|_| Ok(word()? as usize)).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn idx(magic: u32, sizes: &[u32], body: &[u8]) -> Vec<u8> {
        let words = std::iter::once(&magic).chain(sizes).flat_map(|word| word.to_be_bytes());
        words.chain(body.iter().copied()).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn two(images: &[u8], labels: &[u8]) -> Result<ImageSet, String> {
        embedded(images, labels, 2).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_plain_and_gzipped_files_alike() {
        let pixels: Vec<u8> = (0..2 * 784).map(|i| (i % 256) as u8).collect();
        let (images, labels) = (idx(0x803, &[2, 28, 28], &pixels), idx(0x801, &[2], &[9, 0]));
        let set = two(&images, &labels).unwrap();
        assert_eq!(
            (set.labels.as_slice(), set.images().collect::<Vec<_>>().concat()),
            ([9, 0].as_slice(), pixels)
        );
        assert_eq!(two(&gzip(&images), &gzip(&labels)).unwrap(), set);
    }

    #[test]
    fn says_what_is_wrong_with_bad_files() {
        let (images, labels) = (idx(0x803, &[2, 28, 28], &[0; 1568]), idx(0x801, &[2], &[1, 2]));
        let says = |images: &[u8], labels: &[u8], part: &str| {
            let error = two(images, labels).unwrap_err();
            assert!(error.contains(part), "{error}");
        };
        says(&images[..1000], &labels, "expected 1568 bytes, found 984");
        says(&[&images[..], &[0]].concat(), &labels, "expected 1568 bytes, found more");
        says(&idx(0x803, &[2, 32, 32], &[0; 2048]), &labels, "found [2, 32, 32]");
        says(&idx(0x803, &[u32::MAX, u32::MAX, u32::MAX], &[]), &labels, "found [4294967295");
        says(b"<html>Not found</html>", &labels, "magic number 0x3c68746d");
        says(b"", &labels, "a damaged one");
        says(&images, &idx(0x801, &[2], &[1, 10]), "label 10 at image 1");
        let zipped = gzip(&images);
        says(&zipped[..zipped.len() - 6], &labels, "a damaged one");
        let bomb = gzip(&idx(0x803, &[2, 28, 28], &vec![0; 50_000_000]));
        says(&bomb, &labels, "found more");
    }

    #[test]
    fn files_of_ones_own_have_any_size_and_name() {
        use super::super::folder::load as load_folder;
        use crate::data::Framing;

        let images =
            |count: u32| idx(0x803, &[count, 3, 5], &(0..15 * count).map(|i| i as u8).collect::<Vec<_>>());
        let labels = |of: &[u8]| idx(0x801, &[of.len() as u32], of);
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(place.path().join(name), bytes).unwrap();
        let framing = Some(Framing::square(3));
        let load = |framing| load_folder(place.path(), framing).map_err(|error| error.to_string());
        write("emnist-letters-train-images-idx3-ubyte", &images(6));
        assert!(load(framing).unwrap_err().contains("the labels of"));
        write("emnist-letters-train-labels-idx1-ubyte.gz", &gzip(&labels(&[0, 1, 11, 0, 1, 11])));
        let (classes, (train, test)) = load(framing).unwrap();
        assert_eq!((classes.len(), train.len(), test.len()), (12, 4, 2), "a split is made");
        write("emnist-letters-test-images.idx3-ubyte", &images(2));
        write("emnist-letters-test-labels.idx1-ubyte", &labels(&[11, 0]));
        let (_, (train, test)) = load(framing).unwrap();
        assert_eq!((train.labels, test.labels.clone()), (vec![0, 1, 11, 0, 1, 11], vec![11, 0]));
        assert_eq!((test.height, test.width, test.channels), (3, 3, 1));
        assert_eq!(test.image(0), [1, 2, 3, 6, 7, 8, 11, 12, 13], "the central square");
        assert!(load(None).unwrap_err().contains("expected square images, found 5×3"));
        write("emnist-letters-test-labels.idx1-ubyte", &labels(&[11]));
        assert!(load(framing).unwrap_err().contains("expected 2 labels, found 1"));
        write("emnist-letters-test-images.idx3-ubyte", &idx(0x803, &[u32::MAX, 4096, 4096], &[]));
        assert!(load(framing).unwrap_err().contains("do not fit into memory"));
        write("other-test-images-idx3-ubyte", &images(2));
        assert!(load(framing).unwrap_err().contains("one file of images for each split"));
    }
}
