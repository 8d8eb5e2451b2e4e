//! The parts of an experiment besides teachers and students, by name. What each of them does is in `parts/`.

use serde::{Deserialize, Serialize};

/// An attack or an analysis of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// Both teachers' answers to test images: the normal one's first.
    Responses,
    /// t-SNE maps of a teacher's features and logits.
    Embedding,
    /// Students that are distilled without data.
    DataFree,
    /// Images pulled out of a teacher.
    Inversion,
}

impl PartKind {
    /// All parts.
    pub const ALL: [Self; 4] = [Self::Responses, Self::Embedding, Self::DataFree, Self::Inversion];

    /// Its table in an experiment file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Responses => "responses",
            Self::Embedding => "embedding",
            Self::DataFree => "data_free",
            Self::Inversion => "inversion",
        }
    }
}
