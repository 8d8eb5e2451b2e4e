//! CIFAR-10 and CIFAR-100 in their authors' formats.

use std::path::Path;

use super::class_names;
use super::error::DataError;
use super::files::read_bounded;
use super::image_set::ImageSet;
use super::roots::{DataRoots, first};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const IMAGE: usize = 3 * PLANE;

/// What tells the two data sets apart.
pub(super) struct Cifar {
    name: &'static str,
    pub(super) classes: &'static [&'static str],
    folder: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    /// Images in each training file.
    train_images: usize,
    /// Label bytes of each record; the last is the (fine) class.
    label_bytes: usize,
}

/// Images in the test file.
const TEST_IMAGES: usize = 10_000;

pub(super) const CIFAR10: Cifar = Cifar {
    name: "cifar10",
    classes: &class_names::CIFAR10,
    folder: "cifar-10-batches-bin",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    train_images: 10_000,
    label_bytes: 1,
};

pub(super) const CIFAR100: Cifar = Cifar {
    name: "cifar100",
    classes: &class_names::CIFAR100,
    folder: "cifar-100-binary",
    train: &["train.bin"],
    test: "test.bin",
    train_images: 50_000,
    label_bytes: 2,
};

impl Cifar {
    /// Training and test set.
    pub(super) fn load(&self, roots: &DataRoots) -> Result<(ImageSet, ImageSet), DataError> {
        let folder = first(roots.under(&[self.folder]), self.name, self.name)?;
        let mut train = empty();
        for file in self.train {
            self.read(&folder, file, self.train_images, &mut train)?;
        }
        let mut test = empty();
        self.read(&folder, self.test, TEST_IMAGES, &mut test)?;
        Ok((train, test))
    }

    fn read(&self, folder: &Path, file: &str, images: usize, set: &mut ImageSet) -> Result<(), DataError> {
        let path = folder.join(file);
        let bytes = read_bounded(&path, (images * (self.label_bytes + IMAGE)) as u64)?;
        self.parse_binary(&path.display().to_string(), &bytes, images, set)
    }

    /// Appends the records of a file of the binary version: label bytes, then the red, green and blue plane.
    fn parse_binary(
        &self,
        label: &str,
        bytes: &[u8],
        images: usize,
        set: &mut ImageSet,
    ) -> Result<(), DataError> {
        let size = images * (self.label_bytes + IMAGE);
        if bytes.len() != size {
            return Err(DataError::malformed(label, format!("{size} bytes"), bytes.len().to_string()));
        }
        for record in bytes.chunks_exact(self.label_bytes + IMAGE) {
            let (labels, planes) = record.split_at(self.label_bytes);
            self.push(label, usize::from(labels[self.label_bytes - 1]), planes, set)?;
        }
        Ok(())
    }

    /// Appends one image given as planes.
    fn push(&self, label: &str, class: usize, planes: &[u8], set: &mut ImageSet) -> Result<(), DataError> {
        let classes = self.classes.len();
        if class >= classes {
            let found = format!("label {class} at record {}", set.len() % self.train_images);
            return Err(DataError::malformed(label, format!("labels below {classes}"), found));
        }
        set.labels.push(class as u16);
        set.pixels.extend((0..PLANE).flat_map(|i| [planes[i], planes[PLANE + i], planes[2 * PLANE + i]]));
        Ok(())
    }
}

fn empty() -> ImageSet {
    ImageSet { height: SIDE, width: SIDE, channels: 3, pixels: Vec::new(), labels: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_records_become_interleaved_images() {
        let mut record = vec![4, 77];
        record.extend([1; PLANE].iter().chain(&[2; PLANE]).chain(&[3; PLANE]));
        record[2] = 9;
        let mut set = empty();
        CIFAR100.parse_binary("train.bin", &record, 1, &mut set).unwrap();
        assert_eq!(set.labels, [77]);
        assert_eq!(set.pixels[..6], [9, 2, 3, 1, 2, 3]);
        assert_eq!(set.pixels.len(), IMAGE);

        let short = CIFAR100.parse_binary("train.bin", &record[1..], 1, &mut set).unwrap_err();
        assert_eq!(short.to_string(), "train.bin: expected 3074 bytes, found 3073");
        record[1] = 100;
        let label = CIFAR100.parse_binary("train.bin", &record, 1, &mut set).unwrap_err();
        assert!(label.to_string().contains("expected labels below 100, found label 100"), "{label}");
    }
}
