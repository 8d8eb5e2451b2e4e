use std::path::Path;

use super::*;
use crate::data::pickle::tests::python2_batch;

/// CIFAR-100 with three images in each file.
const SMALL: Cifar = Cifar { train_images: 3, test_images: 3, ..CIFAR100 };

const LABELS: [u8; 3] = [77, 0, 99];

/// Three images as planes, other ones for every `seed`.
fn planes(seed: usize) -> Vec<u8> {
    (0..3 * IMAGE).map(|i| ((i + seed) * 31 % 251) as u8).collect()
}

fn binary(seed: usize) -> Vec<u8> {
    let records = LABELS.iter().zip(planes(seed).chunks(IMAGE).map(<[u8]>::to_vec).collect::<Vec<_>>());
    records.flat_map(|(&label, planes)| [vec![5, label], planes].concat()).collect()
}

fn python(seed: usize) -> Vec<u8> {
    python2_batch(&["coarse_labels", "fine_labels"], &LABELS, IMAGE, &planes(seed))
}

fn archive(path: &Path, members: &[(&str, Vec<u8>)]) {
    let encoder =
        flate2::write::GzEncoder::new(std::fs::File::create(path).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(encoder);
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn load(&self) -> Result<(ImageSet, ImageSet), DataError> {
        SMALL.load(&DataRoots::resolve(Some(self.0.path().into())).unwrap())
    }

    fn says(&self, parts: &[&str]) {
        let error = self.load().unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error} without {part}");
        }
    }
}

#[test]
fn planes_become_interleaved_pixels() {
    let mut record = vec![4, 77];
    record.extend([1; PLANE].iter().chain(&[2; PLANE]).chain(&[3; PLANE]));
    record[2] = 9;
    let mut read = Read { pixels: Vec::new(), labels: Vec::new() };
    CIFAR100.parse_binary("train.bin", &record, 1, &mut read).unwrap();
    let set = read.set();
    assert_eq!(set.labels, [77]);
    assert_eq!(set.image(0)[..6], [9, 2, 3, 1, 2, 3]);
    assert_eq!(set.image(0).len(), IMAGE);
}

#[test]
fn every_version_holds_the_same_images() {
    let expected = {
        let place = Place::new();
        place.write("cifar-100-binary/train.bin", &binary(0));
        place.write("cifar-100-binary/test.bin", &binary(1));
        place.load().unwrap()
    };
    assert_eq!(expected.0.labels, [77, 0, 99]);
    assert_ne!(expected.0, expected.1);

    let place = Place::new();
    place.write("cifar-100-python/train", &python(0));
    place.write("cifar-100-python/test", &python(1));
    assert_eq!(place.load().unwrap(), expected);

    let place = Place::new();
    // The order in an archive is any; other files and a leading `./` do no harm.
    let members = [
        ("./cifar-100-python/meta", vec![1; 5000]),
        ("./cifar-100-python/test", python(1)),
        ("cifar-100-python/train", python(0)),
    ];
    archive(&place.0.path().join("cifar-100-python.tar.gz"), &members);
    assert_eq!(place.load().unwrap(), expected);

    let place = Place::new();
    let members = [("cifar-100-binary/train.bin", binary(0)), ("cifar-100-binary/test.bin", binary(1))];
    archive(&place.0.path().join("cifar-100-binary.tar.gz"), &members);
    assert_eq!(place.load().unwrap(), expected);
}

#[test]
fn the_folder_itself_may_be_named_too() {
    let place = Place::new();
    place.write("cifar-100-binary/train.bin", &binary(0));
    place.write("cifar-100-binary/test.bin", &binary(1));
    let roots = DataRoots::resolve(Some(place.0.path().join("cifar-100-binary"))).unwrap();
    assert_eq!(SMALL.load(&roots).unwrap(), place.load().unwrap());
}

#[test]
fn bad_folders_are_explained() {
    let place = Place::new();
    place.says(&["cifar100 was not found", "cifar-100-binary", "cifar-100-python.tar.gz"]);
    place.write("cifar-100-binary/train.bin", &binary(0));
    place.says(&["test.bin was not found"]);
    place.write("cifar-100-binary/test.bin", &binary(0)[1..]);
    place.says(&["test.bin: expected 9222 bytes, found 9221"]);
    place.write("cifar-100-binary/test.bin", &[binary(0), vec![0]].concat());
    place.says(&["test.bin: expected at most 9222 bytes"]);
    let mut label = binary(0);
    label[1 + 3074] = 100;
    place.write("cifar-100-binary/test.bin", &label);
    place.says(&["expected labels from 0 to below 100, found label 100 at record 1"]);

    let place = Place::new();
    place.write("cifar-100-python/train", &python(0));
    place.write("cifar-100-python/test", b"not a pickle");
    place.says(&["cifar-100-python/test: expected a pickled dict", "no pickle"]);
    place.write("cifar-100-python/test", &vec![0; 2_000_000]);
    place.says(&["cifar-100-python/test: expected at most"]);
}

#[test]
fn bad_archives_are_explained() {
    let place = Place::new();
    let name = "cifar-100-binary.tar.gz";
    let path = place.0.path().join(name);
    place.write(name, b"<html>404</html>");
    place.says(&[name, "a damaged one"]);
    place.write(name, b"");
    place.says(&[name]);
    archive(&path, &[("cifar-100-binary/train.bin", binary(0))]);
    place.says(&[name, "expected the file cifar-100-binary/test.bin, found no such file"]);
    let big = vec![0; 9_300];
    archive(&path, &[("cifar-100-binary/train.bin", big), ("cifar-100-binary/test.bin", binary(0))]);
    place.says(&["tar.gz: cifar-100-binary/train.bin: expected at most 9222 bytes"]);
    archive(&path, &[("cifar-100-binary/train.bin", binary(0)), ("cifar-100-binary/test.bin", binary(1))]);
    let whole = std::fs::read(&path).unwrap();
    place.write(name, &whole[..whole.len() / 2]);
    place.says(&[name, "a damaged one"]);
    // It inflates to gigabytes: reading stops long before.
    archive(&path, &[("bomb", vec![0; 40_000_000]), ("cifar-100-binary/train.bin", binary(0))]);
    place.says(&[name, "a damaged one"]);
}
