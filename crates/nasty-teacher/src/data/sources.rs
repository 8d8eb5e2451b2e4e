//! The published data sets: their addresses, files and terms of use.

use crate::data::DataName;

/// A published data set.
#[derive(Clone, Debug)]
pub struct Source {
    /// The address of the folder with its files.
    pub base: &'static str,
    /// One archive, or several files.
    pub files: Vec<RemoteFile>,
    /// How the files are packed.
    pub packing: Packing,
    /// The folder under the data folder where it ends up; for an archive, the one folder in it.
    pub folder: String,
    /// The most bytes that an archive may unpack to: a few times what the published one does.
    pub most_bytes: u64,
}

/// A file of a published data set.
#[derive(Clone, Debug)]
pub struct RemoteFile {
    /// Its name in the source's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its MD5, as published.
    pub md5: String,
}

/// How a data set is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Files that are kept as they come.
    None,
    /// One gzipped tar archive.
    TarGz,
    /// One zip archive.
    Zip,
}

impl Source {
    /// Bytes to download.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// The published files of a data set; none for the embedded one and for folders.
#[rustfmt::skip]
pub fn source(name: &DataName) -> Option<Source> {
    const KRIZHEVSKY: &str = "https://www.cs.toronto.edu/~kriz";
    let (base, packing, folder, files): (_, _, _, &[(&str, u64, &str)]) = match name {
        DataName::Quickstart | DataName::Folder(_) => return None,
        DataName::Cifar10 => (KRIZHEVSKY, Packing::TarGz, "cifar-10-batches-bin", &[
            ("cifar-10-binary.tar.gz", 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530"),
        ]),
        DataName::Cifar100 => (KRIZHEVSKY, Packing::TarGz, "cifar-100-binary", &[
            ("cifar-100-binary.tar.gz", 168_513_733, "03b5dce01913d631647c71ecec9e9cb8"),
        ]),
        DataName::TinyImagenet => ("http://cs231n.stanford.edu", Packing::Zip, "tiny-imagenet-200", &[
            ("tiny-imagenet-200.zip", 248_100_043, "90528d7ca1a48142e341f4ef8d21d0de"),
        ]),
        DataName::FashionMnist => (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com", Packing::None, "fashion-mnist", &[
            ("train-images-idx3-ubyte.gz", 26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            ("train-labels-idx1-ubyte.gz", 29_515, "25c81989df183df01b3e8a0aad5dffbe"),
            ("t10k-images-idx3-ubyte.gz", 4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
            ("t10k-labels-idx1-ubyte.gz", 5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
        ]),
        // The authors' own address no longer serves the files; this mirror is torchvision's.
        DataName::Mnist => ("https://ossci-datasets.s3.amazonaws.com/mnist", Packing::None, "mnist", &[
            ("train-images-idx3-ubyte.gz", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            ("train-labels-idx1-ubyte.gz", 28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
            ("t10k-images-idx3-ubyte.gz", 1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
            ("t10k-labels-idx1-ubyte.gz", 4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
        ]),
    };
    let file = |&(name, bytes, md5): &(&str, u64, &str)| RemoteFile { name: name.into(), bytes, md5: md5.into() };
    let files = files.iter().map(file).collect();
    Some(Source { base, packing, folder: folder.into(), files, most_bytes: 1 << 30 })
}

/// The terms of a data set, in a few words.
pub fn terms(name: &DataName) -> &'static str {
    match name {
        DataName::Quickstart | DataName::FashionMnist => "MIT licence (Zalando)",
        DataName::Cifar10 | DataName::Cifar100 => "for research; cite Krizhevsky 2009",
        DataName::TinyImagenet => "ImageNet's terms: non-commercial research and education",
        DataName::Mnist => "CC BY-SA 3.0 (LeCun, Cortes)",
        DataName::Folder(_) => "your own",
    }
}
