//! The known data sets: which are present, and whether they match the published ones.

use std::path::PathBuf;

use serde::Serialize;

use super::catalog::{DataName, load, places};
use super::error::DataError;
use super::framing::Framing;
use super::idx;
use super::image_set::{DataSet, ImageSet};
use super::roots::DataRoots;
use super::sources::{source, terms};

/// A data set that has a name of its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: DataName,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Where it was found. The embedded one is always here, at no place.
    pub place: Option<PathBuf>,
    /// Whether it can be loaded, as far as the place's being there tells.
    pub here: bool,
    /// Bytes to download, if it is fetched.
    pub download_bytes: Option<u64>,
    /// Where it is fetched from.
    pub address: Option<&'static str>,
    /// On what terms it may be used.
    pub terms: &'static str,
}

/// All data sets with names of their own.
pub fn list(roots: &DataRoots) -> Vec<Listed> {
    let listed = |name: DataName| {
        let place = places(&name, roots).into_iter().find(|place| place.exists());
        let source = source(&name);
        Listed {
            about: about(&name),
            here: place.is_some() || name == DataName::Quickstart,
            place,
            download_bytes: source.as_ref().map(|source| source.bytes()),
            address: source.map(|source| source.base),
            terms: terms(&name),
            name,
        }
    };
    DataName::NAMED.into_iter().map(listed).collect()
}

fn about(name: &DataName) -> &'static str {
    match name {
        DataName::Quickstart => "6,000 + 10,000 grey images of Fashion-MNIST, inside the program",
        DataName::Cifar10 => "50,000 + 10,000 images of 32×32, 10 classes",
        DataName::Cifar100 => "50,000 + 10,000 images of 32×32, 100 classes",
        DataName::TinyImagenet => "100,000 + 10,000 images of 64×64, 200 classes",
        DataName::FashionMnist => "60,000 + 10,000 grey images of 28×28, 10 classes",
        DataName::Mnist => "60,000 + 10,000 grey images of 28×28, 10 classes",
        DataName::Folder(_) => "your own images",
    }
}

/// How sure it is that a data set is the published one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// Every pixel and label: its digest is that of the published images.
    Identical,
    /// It has the published number of images in every class; what they show is not known here.
    Counts,
    /// It is readable, but no (or only a part of a) published data set.
    Readable,
}

/// A data set that was read whole, and what is in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// Its name.
    pub name: DataName,
    /// Where it is.
    pub place: Option<PathBuf>,
    /// How sure it is that it is the published one.
    pub certainty: Certainty,
    /// Rows, columns, channels of every image.
    pub shape: [usize; 3],
    /// Class names.
    pub classes: Vec<String>,
    /// Training images of each class.
    pub train: Vec<usize>,
    /// Test images of each class.
    pub test: Vec<usize>,
    /// SHA-256 of the training and of the test images, with their labels.
    pub digests: [String; 2],
}

/// Reads a data set whole and compares it with the published one, where that is known. `side` resizes the images
/// of a folder.
///
/// # Errors
/// Those of [`load`]; [`DataError::Malformed`] when the images are not the published ones.
pub fn check(name: &DataName, roots: &DataRoots, side: Option<Framing>) -> Result<Checked, DataError> {
    let data = load(name, roots, side)?;
    let place = places(name, roots).into_iter().find(|place| place.exists());
    let digests = [data.train.digest(), data.test.digest()];
    let certainty = match published(name, &data, &digests) {
        Some((found, published)) if found == published => Certainty::Identical,
        Some(_) => {
            let place = place.map_or_else(|| name.to_string(), |place| place.display().to_string());
            return Err(DataError::malformed(
                place,
                "the published images and labels",
                "others, by their digest",
            ));
        }
        None if *name == DataName::TinyImagenet && has_counts(&data, 200, 500, 50) => Certainty::Counts,
        None => Certainty::Readable,
    };
    let classes = data.classes.len();
    Ok(Checked {
        name: name.clone(),
        place,
        certainty,
        shape: [data.train.height, data.train.width, data.train.channels],
        train: data.train.class_counts(classes),
        test: data.test.class_counts(classes),
        classes: data.classes,
        digests,
    })
}

fn has_counts(data: &DataSet, classes: usize, train: usize, test: usize) -> bool {
    let has = |set: &ImageSet, count| set.class_counts(classes) == vec![count; classes];
    data.classes.len() == classes && has(&data.train, train) && has(&data.test, test)
}

/// Digests of the images that were found and of the published ones, where those are known.
fn published(name: &DataName, data: &DataSet, digests: &[String; 2]) -> Option<(Vec<String>, Vec<String>)> {
    let own = |published: [&str; 2]| Some((digests.to_vec(), published.map(str::to_owned).to_vec()));
    // MD5 of the uncompressed files: training images and labels, test images and labels.
    let files = |published: [&str; 4]| {
        let found = [idx::md5(&data.train), idx::md5(&data.test)].concat();
        Some((found, published.map(str::to_owned).to_vec()))
    };
    match name {
        // Of the binary version's files, whose MD5s are those in the archive.
        DataName::Cifar10 => own([
            "99179a39a04ca980ecd0b87baecc9e509d076ad052a2581d42480ef5b1d7ff23",
            "71f112ed8a3f65b8346a2a2c2947f187a705a86bf19c7d6e477cc2e3e66ce170",
        ]),
        DataName::Cifar100 => own([
            "82671023550e260f6520ca718fb9861ffed2e40add538f201716718b8e3e617d",
            "d2419488bebd88ab8cede776e677cbd0514765ddedf4e8b1372876cc6d653681",
        ]),
        DataName::Quickstart => own([
            "22c4466902cb24b5e93e793223194daba0e769431c31ca10325a224bcf232256",
            "ce89e9bbcc1c178d23ac73874ada058e086229d071a27a973db7bcd462b82dd8",
        ]),
        DataName::FashionMnist => files([
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ]),
        DataName::Mnist => files([
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ]),
        DataName::TinyImagenet | DataName::Folder(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(path: &std::path::Path) -> DataRoots {
        DataRoots::resolve(Some(path.into())).unwrap()
    }

    #[test]
    fn the_list_tells_what_is_here() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("cifar-10-batches-py")).unwrap();
        let list = list(&roots(folder.path()));
        assert_eq!(list.iter().map(|listed| listed.name.clone()).collect::<Vec<_>>(), DataName::NAMED);
        let of = |name: DataName| list.iter().find(|listed| listed.name == name).unwrap();
        assert_eq!(of(DataName::Cifar10).place, Some(folder.path().join("cifar-10-batches-py")));
        assert_eq!(of(DataName::Cifar10).download_bytes, Some(170_052_171));
        assert!(of(DataName::Quickstart).here && !of(DataName::Cifar100).here);
    }

    #[test]
    fn the_embedded_data_is_identical_and_counted() {
        let checked = check(&DataName::Quickstart, &roots("/nowhere".as_ref()), None).unwrap();
        assert_eq!(checked.certainty, Certainty::Identical);
        assert_eq!((checked.train, checked.test), (vec![600; 10], vec![1000; 10]));
        assert_eq!(checked.shape, [28, 28, 1]);
    }

    #[test]
    fn other_images_under_a_published_name_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("cifar-10-batches-bin");
        std::fs::create_dir(&place).unwrap();
        for file in
            ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
        {
            std::fs::write(place.join(format!("{file}.bin")), vec![0; 10_000 * 3073]).unwrap();
        }
        let error = check(&DataName::Cifar10, &roots(folder.path()), None).unwrap_err().to_string();
        assert!(error.contains("cifar-10-batches-bin: expected the published images"), "{error}");
    }
}
