//! What the rows of a table are the logits of.

use crate::data::Augmentation;
use crate::numerics::Numerics;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a table's rows are the logits of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableKey {
    /// Digest of the network's weights: not of the recipe that made them, for another machine makes others of it.
    pub weights: String,
    /// How the rows were rounded.
    pub numerics: Numerics,
    /// The set of images; see [`Origin::set`](crate::victim::Origin::set).
    pub data: String,
    /// The views.
    pub augmentation: Augmentation,
    /// Images of the set.
    pub images: usize,
    /// Logits a row.
    pub classes: usize,
}

impl TableKey {
    pub(super) fn name(&self) -> String {
        let json = serde_json::to_string(self).expect("a key is plain data");
        Sha256::digest(json.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect()
    }

    pub(super) fn slots(&self) -> usize {
        self.images * self.augmentation.count()
    }
}
