//! What is known of a data set: how large it is, and the digest that it is known by.

use crate::data::{DataName, DataSet};
use crate::nets::Input;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What an experiment, and an estimate of its cost, need to know of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataFacts {
    /// [`digest`] of its contents.
    pub digest: String,
    /// Training images.
    pub train: usize,
    /// Test images.
    pub test: usize,
    /// Shape of the images.
    pub input: Input,
    /// Classes.
    pub classes: usize,
}

impl DataFacts {
    /// What is known of `data`, whose [`digest`] is `digest`.
    pub(super) fn of(data: &DataSet, digest: String) -> Self {
        Self {
            digest,
            train: data.train.len(),
            test: data.test.len(),
            input: Input { channels: data.train.channels, side: data.train.height },
            classes: data.classes.len(),
        }
    }
}

/// What is known of a data set without reading it; nothing of a folder.
pub fn published_facts(name: &DataName) -> Option<DataFacts> {
    let (train, test, channels, side, classes) = match name {
        DataName::Quickstart => (6_000, 10_000, 1, 28, 10),
        DataName::Mnist | DataName::FashionMnist => (60_000, 10_000, 1, 28, 10),
        DataName::Cifar10 => (50_000, 10_000, 3, 32, 10),
        DataName::Cifar100 => (50_000, 10_000, 3, 32, 100),
        DataName::TinyImagenet => (100_000, 10_000, 3, 64, 200),
        DataName::Folder(_) => return None,
    };
    Some(DataFacts { digest: String::new(), train, test, input: Input { channels, side }, classes })
}

/// First 16 hexadecimal digits of the SHA-256 over a data set's images and labels.
pub fn digest(data: &DataSet) -> String {
    let both = format!("{} {}", data.train.digest(), data.test.digest());
    Sha256::digest(both.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect()
}
