//! The cells of an experiment's tables: what stands where, and which task fills it.

use super::settings::Source;
use crate::analysis::tsne::Layer;
use crate::lab::task::Task;
use crate::nets::Input;
use serde::{Deserialize, Serialize};

/// What an experiment needs to know of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFacts {
    /// [`crate::lab::digest`] of its contents.
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

/// What a task is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The normal teacher.
    NormalTeacher,
    /// The nasty teacher.
    NastyTeacher,
    /// The nasty teacher's adversarial network, where it is not the normal teacher.
    Adversary,
    /// A student, by what it learns from.
    Student(Source),
    /// A student that was distilled without data.
    DataFree(Side),
    /// Images pulled out of a teacher.
    Inversion(Side),
    /// A t-SNE of a teacher's features or logits.
    Embedding(Side, Layer),
    /// Both teachers' answers to test images: the normal one's first.
    Responses,
}

/// Which of the two teachers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The normal one.
    Normal,
    /// The nasty one.
    Nasty,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Normal, Self::Nasty];

    /// `normal` or `nasty`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Nasty => "nasty",
        }
    }
}

/// Where in the experiment's grid something stands. What does not apply is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The data set.
    pub data: String,
    /// The teacher's architecture.
    pub teacher: String,
    /// The adversarial network's architecture, `same` or `none`.
    pub adversary: String,
    /// ω.
    pub omega: f64,
    /// τ of the undermining.
    pub teacher_temperature: f64,
    /// The student's architecture.
    pub student: Option<String>,
    /// τ of the distillation.
    pub temperature: Option<f64>,
    /// α of the distillation.
    pub alpha: Option<f64>,
    /// Share of the training images that the student sees.
    pub share: Option<f64>,
}

/// One cell of an experiment: a task at its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is for.
    pub role: Role,
    /// The seed.
    pub seed: u64,
    /// Where it stands.
    pub place: Place,
    /// The task's hash.
    pub task: String,
}

/// An experiment's cells and the tasks that fill them, each task once and after those it needs.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// The cells.
    pub entries: Vec<Entry>,
    /// The tasks, with a name for people.
    pub tasks: Vec<(String, Task)>,
}
