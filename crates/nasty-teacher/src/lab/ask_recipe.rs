//! Asking a victim about images, as plain data.

use super::answer_log::Whose;
use super::ask_options::AskOptions;
use crate::attacks::{Images, TestData};
use crate::training::identity;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Version of the fields of [`AskRecipe`]; part of its hash.
pub const ASK_FORMAT: u32 = 1;

/// How to reach a victim. None of it but [`Self::whose`] decides an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// A run's hash or folder, a file, an address.
    pub victim: String,
    /// How it is asked, and what stands in front of it.
    pub how: AskOptions,
    /// The data set whose classes its answers are put in the order of.
    pub classes_of: TestData,
    /// Who it was when the audit began: if it is another one now, it is not asked.
    pub whose: Whose,
}

/// Asks a victim about images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskRecipe {
    /// [`ASK_FORMAT`].
    pub format: u32,
    /// The victim.
    pub reach: Reach,
    /// The images, unchanged.
    pub images: Images,
    /// Which of its answers to each image are wanted: the first is 0. All images are asked about once, then all again.
    pub times: Range<u32>,
}

impl AskRecipe {
    /// The identity: by who is asked about what, not by how it is reached.
    pub fn hash(&self) -> String {
        identity(&("ask", self.format, &self.reach.whose, &self.images, &self.times))
    }

    /// What is impossible about the recipe; `None` if it can run.
    pub fn problem(&self) -> Option<String> {
        let fine = self.format == ASK_FORMAT;
        let format = (!fine).then(|| format!("format is {}, expected {ASK_FORMAT}", self.format));
        format.or_else(|| self.images.problem())
    }
}
