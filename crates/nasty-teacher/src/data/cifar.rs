//! CIFAR-10 and CIFAR-100 in their authors' formats: the binary and the Python version, as folders or archives.

use std::path::{Path, PathBuf};

use super::error::DataError;
use super::files::read_bounded;
use super::image_set::ImageSet;
use super::roots::{DataRoots, first};
use super::{class_names, pickle, tar_gz};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const IMAGE: usize = 3 * PLANE;

/// What tells the two data sets apart.
pub(super) struct Cifar {
    name: &'static str,
    pub(super) classes: &'static [&'static str],
    /// Images in each training file.
    train_images: usize,
    /// Images in the test file.
    test_images: usize,
    /// The binary version.
    binary: Version,
    /// Label bytes of each record of the binary version; the last is the (fine) class.
    label_bytes: usize,
    /// The Python version; its images are the same, in the same order.
    python: Version,
    /// The key of the (fine) classes in the Python version's files.
    label_key: &'static str,
}

/// One of the versions that a data set is published in.
struct Version {
    archive: &'static str,
    /// The folder in the archive.
    folder: &'static str,
    train: &'static [&'static str],
    test: &'static str,
}

#[rustfmt::skip]
pub(super) const CIFAR10: Cifar = Cifar {
    name: "cifar10",
    classes: &class_names::CIFAR10,
    train_images: 10_000,
    test_images: 10_000,
    binary: Version {
        archive: "cifar-10-binary.tar.gz",
        folder: "cifar-10-batches-bin",
        train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
        test: "test_batch.bin",
    },
    label_bytes: 1,
    python: Version {
        archive: "cifar-10-python.tar.gz",
        folder: "cifar-10-batches-py",
        train: &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"],
        test: "test_batch",
    },
    label_key: "labels",
};

pub(super) const CIFAR100: Cifar = Cifar {
    name: "cifar100",
    classes: &class_names::CIFAR100,
    train_images: 50_000,
    test_images: 10_000,
    binary: Version {
        archive: "cifar-100-binary.tar.gz",
        folder: "cifar-100-binary",
        train: &["train.bin"],
        test: "test.bin",
    },
    label_bytes: 2,
    python: Version {
        archive: "cifar-100-python.tar.gz",
        folder: "cifar-100-python",
        train: &["train"],
        test: "test",
    },
    label_key: "fine_labels",
};

/// Images read so far.
struct Read {
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

impl Read {
    fn set(self) -> ImageSet {
        ImageSet::new(SIDE, SIDE, 3, self.pixels, self.labels)
    }
}

impl Cifar {
    /// Where it may lie, the fastest to read first.
    pub(super) fn places(&self, roots: &DataRoots) -> Vec<PathBuf> {
        let (binary, python) = (&self.binary, &self.python);
        roots.under(&[binary.folder, python.folder, binary.archive, python.archive])
    }

    /// Training and test set.
    pub(super) fn load(&self, roots: &DataRoots) -> Result<(ImageSet, ImageSet), DataError> {
        let place = first(self.places(roots), self.name, self.name)?;
        let is_python = place.ends_with(self.python.folder) || place.ends_with(self.python.archive);
        let version = if is_python { &self.python } else { &self.binary };
        let files: Vec<&str> = version.train.iter().chain([&version.test]).copied().collect();
        let mut members = if place.is_dir() {
            None
        } else {
            let names: Vec<String> = files.iter().map(|file| format!("{}/{file}", version.folder)).collect();
            let largest = self.train_images.max(self.test_images);
            Some(tar_gz::members(&place, &names, self.size_limit(is_python, largest))?)
        };
        let mut load = |numbers: std::ops::Range<usize>, images: usize| {
            let count = numbers.len() * images;
            let mut read =
                Read { pixels: Vec::with_capacity(count * IMAGE), labels: Vec::with_capacity(count) };
            for number in numbers {
                let (label, bytes) = match &mut members {
                    Some(members) => {
                        let label = format!("{}: {}/{}", place.display(), version.folder, files[number]);
                        (label, std::mem::take(&mut members[number]))
                    }
                    None => self.file(&place.join(files[number]), self.size_limit(is_python, images))?,
                };
                if is_python {
                    self.parse_pickle(&label, &bytes, images, &mut read)?;
                } else {
                    self.parse_binary(&label, &bytes, images, &mut read)?;
                }
            }
            Ok(read.set())
        };
        let train = load(0..version.train.len(), self.train_images)?;
        Ok((train, load(version.train.len()..files.len(), self.test_images)?))
    }

    /// A file of a folder, with the label that names it in errors.
    fn file(&self, path: &Path, limit: u64) -> Result<(String, Vec<u8>), DataError> {
        if !path.exists() {
            let what = format!("the file {}", path.display());
            let help = format!(
                "the data set is incomplete: remove its folder, and `nasty data get {}` fetches it",
                self.name
            );
            return Err(DataError::Missing { what, looked: vec![path.to_owned()], help });
        }
        Ok((path.display().to_string(), read_bounded(path, limit)?))
    }

    /// The longest file to expect.
    fn size_limit(&self, is_python: bool, images: usize) -> u64 {
        if is_python {
            pickle::size_limit(images, IMAGE)
        } else {
            (images * (self.label_bytes + IMAGE)) as u64
        }
    }

    /// Appends the records of a file of the binary version: label bytes, then the red, green and blue plane.
    fn parse_binary(
        &self,
        label: &str,
        bytes: &[u8],
        images: usize,
        read: &mut Read,
    ) -> Result<(), DataError> {
        let size = images * (self.label_bytes + IMAGE);
        if bytes.len() != size {
            return Err(DataError::malformed(label, format!("{size} bytes"), bytes.len().to_string()));
        }
        for record in bytes.chunks_exact(self.label_bytes + IMAGE) {
            let (labels, planes) = record.split_at(self.label_bytes);
            self.push(label, labels[self.label_bytes - 1].into(), planes, read)?;
        }
        Ok(())
    }

    /// Appends the images of a file of the Python version: a row holds the red, green and blue plane.
    fn parse_pickle(
        &self,
        label: &str,
        bytes: &[u8],
        images: usize,
        read: &mut Read,
    ) -> Result<(), DataError> {
        let batch = pickle::read(label, bytes, self.label_key, images, IMAGE)?;
        for (&class, planes) in batch.labels.iter().zip(batch.data.chunks_exact(IMAGE)) {
            self.push(label, class, planes, read)?;
        }
        Ok(())
    }

    /// Appends one image given as planes.
    fn push(&self, label: &str, class: i64, planes: &[u8], read: &mut Read) -> Result<(), DataError> {
        let classes = self.classes.len();
        if !(0..classes as i64).contains(&class) {
            let found = format!("label {class} at record {}", read.labels.len() % self.train_images);
            return Err(DataError::malformed(label, format!("labels from 0 to below {classes}"), found));
        }
        read.labels.push(class as u16);
        read.pixels.extend((0..PLANE).flat_map(|i| [planes[i], planes[PLANE + i], planes[2 * PLANE + i]]));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
