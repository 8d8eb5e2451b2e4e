//! Attacks on a trained network: distillation without any image ([`data_free`]), and extraction of images from the
//! network ([`inversion`]); clones from a victim's answers to images ([`thieves`]).

pub mod data_free;
mod images;
pub mod inversion;
mod noise;
#[cfg(test)]
pub(crate) mod test_support;
pub mod thieves;

pub use images::{Images, Part, Trained};

use crate::data::{DataName, Framing};
use serde::{Deserialize, Serialize};

/// A data set of which only the test images, the class names and the normalisation are used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestData {
    /// The data set.
    pub name: DataName,
    /// First 16 hexadecimal digits of the SHA-256 of all its images and labels, as in a training recipe.
    pub digest: String,
    /// What the pictures of a folder become.
    pub side: Option<Framing>,
}
