//! The contents of an experiment file after choosing the scale and applying the changes of the command line.

use super::part_kind::PartKind;
use crate::data::{DataName, Framing};
use crate::nets::Architecture;
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Version of experiment files.
pub const EXPERIMENT_FORMAT: u32 = 1;

/// Changes to the defaults of a recipe, by the recipe's own keys.
pub type Changes = Map<String, Value>;

/// How much of the published experiment is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// The published recipe, all of it.
    Paper,
    /// About a tenth of that.
    Short,
    /// For two CPU cores: other networks, data or epochs, the shape of the result kept.
    Small,
}

impl Scale {
    /// All scales, the largest first.
    pub const ALL: [Self; 3] = [Self::Paper, Self::Short, Self::Small];
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Paper => "paper",
            Self::Short => "short",
            Self::Small => "small",
        })
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scale| scale.to_string() == name);
        found.ok_or_else(|| format!("expected paper, short or small, found `{name}`"))
    }
}

/// One experiment. Where a field takes one value or a list, a list makes a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// [`EXPERIMENT_FORMAT`].
    pub format: u32,
    /// The report's heading.
    pub title: String,
    /// What it shows, in a line.
    pub shows: String,
    /// How it differs from the paper's, for the report.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remarks: String,
    /// How the report's page is laid out.
    #[serde(default, skip_serializing_if = "PageStyle::is_standard")]
    pub page: PageStyle,
    /// The scale that was chosen.
    pub scale: Scale,
    /// The data sets.
    #[serde(deserialize_with = "one_or_many")]
    pub data: Vec<DataName>,
    /// Seeds: every network is trained once for each.
    #[serde(deserialize_with = "one_or_many")]
    pub seeds: Vec<u64>,
    /// Changes to the published recipe of every network.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub recipe: Changes,
    /// The teachers.
    pub teacher: TeacherSettings,
    /// The students, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub student: Option<StudentSettings>,
    /// Attacks and analyses, each with its table; in a file these stand at the top.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<PartKind, Changes>,
    /// Networks here that stand for one of the paper's, by name, so that its figures can stand beside ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stands_for: BTreeMap<String, String>,
    /// The paper's figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference: Vec<Reference>,
}

/// The field of [`Settings`] whose entries stand at the top of a file.
pub(super) const PARTS: &str = "parts";

/// How a report's page is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageStyle {
    /// Tables and figures of a grid.
    #[default]
    Standard,
    /// One pair of teachers and its thieves, for a reader who is new to the subject.
    Quickstart,
}

impl PageStyle {
    fn is_standard(&self) -> bool {
        *self == Self::Standard
    }
}

/// The normal and the nasty teachers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherSettings {
    /// Their architectures.
    #[serde(deserialize_with = "one_or_many")]
    pub architecture: Vec<Architecture>,
    /// The adversarial networks' architectures.
    #[serde(default = "same_adversary", deserialize_with = "one_or_many")]
    pub adversary: Vec<Other>,
    /// ω; the data set's default if absent.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub omega: Vec<f64>,
    /// τ of the undermining; the data set's default if absent.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub temperature: Vec<f64>,
    /// Changes for teachers and adversarial networks, after those for every network.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub recipe: Changes,
    /// Changes for nasty teachers only, after all others.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub nasty_recipe: Changes,
}

/// The students.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentSettings {
    /// Their architectures.
    #[serde(deserialize_with = "one_or_many")]
    pub architecture: Vec<Other>,
    /// What they learn from.
    #[serde(default = "paper_sources", deserialize_with = "one_or_many")]
    pub from: Vec<Source>,
    /// τ of the distillation; the teacher's if absent.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub temperature: Vec<f64>,
    /// α of the distillation; 0.9 if absent.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub alpha: Vec<f64>,
    /// Share of the training images that students see; all if absent.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub share: Vec<f64>,
    /// ε of the label-smoothing student.
    #[serde(default = "usual_smoothing")]
    pub label_smoothing: f64,
    /// Changes for students, after those for every network.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub recipe: Changes,
}

/// An architecture beside the teacher's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Other {
    /// The teacher's own (`same`).
    Same,
    /// No network (`none`): as an adversary, the nasty teacher is the normal one.
    None,
    /// This one.
    Named(Architecture),
}

impl TryFrom<String> for Other {
    type Error = crate::nets::NetError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Ok(match name.as_str() {
            "same" => Self::Same,
            "none" => Self::None,
            _ => Self::Named(name.parse()?),
        })
    }
}

impl From<Other> for String {
    fn from(other: Other) -> Self {
        match other {
            Other::Same => "same".into(),
            Other::None => "none".into(),
            Other::Named(architecture) => architecture.to_string(),
        }
    }
}

/// What a student learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// True labels only: the baseline.
    Alone,
    /// The normal teacher's probabilities.
    Normal,
    /// The nasty teacher's probabilities.
    Nasty,
    /// The normal teacher's probabilities as they are served, without labels: τ = 1, α = 1.
    NormalAsServed,
    /// The nasty teacher's probabilities as they are served, without labels: what a thief tries first.
    NastyAsServed,
    /// The nasty teacher's predicted classes only.
    HardLabels,
    /// True labels, smoothed: what distillation from a teacher that knows nothing would give.
    Smoothing,
}

/// Figures of the paper for one row, in per cent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The data set; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataName>,
    /// The teacher's architecture.
    pub teacher: String,
    /// The student's architecture; absent for the row of the teachers themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub student: Option<String>,
    /// The student alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone: Option<f64>,
    /// From the normal teacher; the normal teacher itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normal: Option<f64>,
    /// From the nasty teacher; the nasty teacher itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nasty: Option<f64>,
}

fn same_adversary() -> Vec<Other> {
    vec![Other::Same]
}

fn paper_sources() -> Vec<Source> {
    vec![Source::Alone, Source::Normal, Source::Nasty]
}

fn usual_smoothing() -> f64 {
    0.1
}

pub(super) fn one_or_many<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    match Value::deserialize(from)? {
        Value::Array(list) if list.is_empty() => {
            Err(D::Error::custom("expected one value or a list, found an empty list"))
        }
        Value::Array(list) => {
            list.into_iter().map(|v| serde_json::from_value(v).map_err(D::Error::custom)).collect()
        }
        one => Ok(vec![serde_json::from_value(one).map_err(D::Error::custom)?]),
    }
}

/// The side that `changes` resize images to.
pub(super) fn side(changes: &Changes) -> Option<&Value> {
    changes.get("data")?.get("side").filter(|side| !matches!(side, Value::String(none) if none == "none"))
}

impl Settings {
    /// What the pictures of folders become, for all networks of the experiment.
    pub fn side(&self) -> Option<Framing> {
        serde_json::from_value(side(&self.recipe)?.clone()).ok()
    }
}
