//! `report.json` of an audit: the victim, the protocol, one row for each trained clone, and what was probed. Plain data; what it
//! means is computed from it by [`super::verdict`].
//!
//! Accuracies, agreements and shares are from 0 to 1. All numbers are finite: a row whose numbers are not has no evidence.

pub use crate::attacks::thieves::Signal;
use crate::lab::Machine;
use crate::metrics::Bits;
use crate::numerics::Numerics;
use crate::victim::Interface;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the schema of `report.json`.
pub const SCHEMA: u32 = 1;
/// The name of an audit's file of rows.
pub const REPORT_FILE: &str = "report.json";
/// Key of the victim, through its interface, in [`Report::right`].
pub const VICTIM: &str = "victim";
/// Key of the victim without its defences in [`Report::right`].
pub const UNDEFENDED: &str = "undefended";

/// Name of the thief that asks the same images several times and averages the answers.
pub const QUERY_AVERAGING: &str = "query-averaging";

/// All that an audit measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Who was audited.
    pub victim: VictimFacts,
    /// The thieves that were tried.
    pub battery: Battery,
    /// What all thieves had in common.
    pub protocol: Protocol,
    /// What was asked to learn how the victim answers.
    pub probes: Probes,
    /// One row for each clone: against the victim, against the victim without its defences, and without any victim.
    pub rows: Vec<Row>,
    /// How the report was made.
    pub made: Made,
    /// Whether each test image was classified correctly, by [`Row::run`], and under [`VICTIM`] and [`UNDEFENDED`]. It serves
    /// paired tests; a row without it has none.
    #[serde(default)]
    pub right: BTreeMap<String, Bits>,
}

/// The victim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VictimFacts {
    /// What it is called: as it was given.
    pub name: String,
    /// What it is, such as `network`, `ONNX file`, `HTTP endpoint`, `recorded answers`.
    pub kind: String,
    /// A digest of all that decides its answers, interface aside.
    pub identity: String,
    /// The file that describes it, for tools that point at files: `config.json` or the ONNX file.
    pub file: Option<String>,
    /// Classes that it tells apart.
    pub classes: usize,
    /// Height and width of its images, pixels.
    pub side: usize,
    /// What it reveals.
    pub interface: Interface,
    /// Accuracy on the test images, through the interface and the defences.
    pub accuracy: f64,
    /// The accuracy that its owner claims.
    pub claimed: Option<f64>,
    /// Its defences, outermost last; empty for none, or none that are known.
    pub defences: String,
    /// The victim without its defences, if the audit could ask it.
    pub undefended: Option<Undefended>,
    /// What honest users are served.
    pub cost: Option<UserCost>,
}

/// The victim without its defences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Undefended {
    /// What it is.
    pub identity: String,
    /// Accuracy on the test images, through the same interface.
    pub accuracy: f64,
}

/// What honest users are served, measured on the test images. The changes compare with the clean rows and are absent where
/// those are not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UserCost {
    /// The served rows.
    pub served: Quality,
    /// The rows without defences.
    pub clean: Option<Quality>,
    /// Mean of `‖clean − served‖₁` over the images, from 0 to 2.
    pub l1: Option<f64>,
    /// The largest `‖clean − served‖₁` of an image.
    pub l1_max: Option<f64>,
    /// Share of the images whose predicted class is the same.
    pub top1_kept: Option<f64>,
    /// Milliseconds an answer.
    pub milliseconds: Option<f64>,
}

/// How good class probabilities are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Quality {
    /// Accuracy.
    pub accuracy: f64,
    /// Mean negative log-likelihood of the label.
    pub nll: f64,
    /// Brier score, summed over the classes.
    pub brier: f64,
    /// Expected calibration error, 15 bins.
    pub ece: f64,
}

/// A fixed list of thieves. A changed list has a new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Battery {
    /// Its name, such as `standard`.
    pub name: String,
    /// Its version.
    pub version: u32,
}

impl std::fmt::Display for Battery {
    /// `standard-1`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.name, self.version)
    }
}

/// What all thieves of an audit had in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Protocol {
    /// The data set that thieves' images and test images come from.
    pub data: String,
    /// A digest of its images, if known.
    pub data_digest: Option<String>,
    /// Where thieves' images come from, in a few words.
    pub images: String,
    /// Whether the victim never saw the thieves' images: none if that is not known.
    pub fresh: Option<bool>,
    /// Images that the thieves have.
    pub pool: usize,
    /// Images that clones are tested on. No thief saw them.
    pub test_images: usize,
    /// The ladder of query budgets, rising.
    pub budgets: Vec<u64>,
    /// Shares of the data that thieves have, rising.
    pub shares: Vec<f64>,
    /// Seeds: each sets initial weights, order and augmentation of a clone.
    pub seeds: Vec<u64>,
    /// Architectures of the clones.
    pub students: Vec<String>,
    /// Optimiser steps of each clone.
    pub steps: u64,
    /// Optimiser, schedule, batch size and augmentation, in a line.
    pub recipe: String,
    /// Whether an image is asked about once and its answer kept: otherwise each view of each epoch is a query.
    pub cached: bool,
    /// Victims trained with the same recipe that the audit was repeated on; 1 for an audit of one victim.
    pub victims: usize,
}

/// What was asked to learn how the victim answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Probes {
    /// The same images asked several times in a row.
    pub repeats: Option<Repeats>,
    /// The same images asked again after other queries.
    pub history: Option<History>,
    /// What the answers look like.
    pub revealed: Option<Revealed>,
    /// Queries sent, probes and repetitions of failed ones included.
    pub queries: u64,
    /// Queries of these that were not answered.
    pub failed: u64,
    /// Accuracy of guessing: of the largest class of the test images.
    pub chance: f64,
}

/// The same images asked several times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Repeats {
    /// Images.
    pub images: usize,
    /// Times that each was asked.
    pub times: usize,
    /// Images whose answers were not all the same.
    pub different: usize,
    /// The largest ℓ1 distance between two answers to one image.
    pub largest: f64,
}

/// The same images asked again after other queries, or with another key.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct History {
    /// Images.
    pub images: usize,
    /// Queries for other images between the two.
    pub between: u64,
    /// Images whose answer changed.
    pub changed: usize,
    /// Images whose answer is another one for another key; none if there was one key only.
    pub by_key: Option<usize>,
}

/// What the answers to some images look like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Revealed {
    /// Images.
    pub images: usize,
    /// Whether rows are probabilities: not negative, at most 1.
    pub probabilities: bool,
    /// Largest distance of a row's sum from 1.
    pub sum_error: f64,
    /// Most classes of a row that are not 0.
    pub nonzero: usize,
    /// Decimals that all numbers are rounded to; none if they have more than six.
    pub decimals: Option<u32>,
}

/// One clone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Row {
    /// Hash of the recipe that trained it, or that would have.
    pub run: String,
    /// The thief's name, such as `kd`; stable over versions.
    pub thief: String,
    /// What the thief knows, in a few words.
    pub knows: String,
    /// Whether the verdict rests on it; extras are shown beside.
    pub in_verdict: bool,
    /// Who was asked.
    pub against: Against,
    /// What of the answers the thief uses.
    pub signal: Signal,
    /// What the thief has.
    pub profile: Profile,
    /// Architecture of the clone.
    pub student: String,
    /// The rung of the ladder of budgets: images asked about. For a floor that needs no victim, the images it has with labels; 0
    /// for one that always has the same.
    pub budget: u64,
    /// Queries charged: images answered, repeats and views included.
    pub queries: u64,
    /// Share of the thieves' data.
    pub share: f64,
    /// Seed of the clone.
    pub seed: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// Who a thief asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// The victim as it is served.
    Victim,
    /// The victim without its defences.
    Undefended,
    /// Nobody: it has labels of its own.
    Nobody,
}

/// What a thief has (`docs/audit.md`, profiles).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Profile {
    /// Labelled images of the victim's kind.
    A,
    /// Images of the victim's kind without labels.
    B,
    /// Images of another kind.
    C,
    /// No images.
    D,
}

/// What came of a clone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Outcome {
    /// It was trained and measured.
    Ok(Measured),
    /// It failed to learn, so its accuracy says nothing about the victim: no better than chance, a loss that was not finite,
    /// or a thief that also fails against the undefended victim.
    NoEvidence {
        /// Why.
        reason: String,
    },
    /// It was not tried.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// A clone's figures on the test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Measured {
    /// What the thief itself saw, by which it chose settings and epoch; none where it had nothing to choose by.
    pub validation: Option<Validation>,
    /// Accuracy on the true labels.
    pub accuracy: f64,
    /// Share of the images with the victim's class without defences.
    pub agreement_clean: Option<f64>,
    /// Share of the images with the class that the victim serves; none without a victim.
    pub agreement_served: Option<f64>,
    /// Mean `KL(clean ‖ clone)`.
    pub kl: Option<f64>,
    /// Settings that the thief chose by validation.
    pub settings: Vec<Setting>,
    /// Seconds of training, all settings tried.
    pub seconds: f64,
}

/// What a thief chose by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Validation {
    /// What was compared with.
    pub by: ChosenBy,
    /// The share that was right.
    pub score: f64,
}

/// What a thief compares its clone with on images it held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ChosenBy {
    /// True labels of its own.
    Labels,
    /// The class that the victim served.
    ServedClass,
}

/// A setting that a thief chose from a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Setting {
    /// Its name, such as `temperature`.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// The end of the grid that it is on, if the grid could go on there.
    pub edge: Option<Edge>,
}

/// An end of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// The lowest value.
    Low,
    /// The highest value.
    High,
}

/// How a report was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Made {
    /// The command that makes it again.
    pub command: String,
    /// Where, by which version.
    pub machine: Machine,
    /// The numerics in use.
    pub numerics: Vec<Numerics>,
    /// Seconds of all work.
    pub seconds: f64,
    /// Whether all rows are there; false for an audit that was stopped.
    pub complete: bool,
}

impl Row {
    /// What was measured; none if it is no evidence.
    pub fn measured(&self) -> Option<&Measured> {
        match &self.outcome {
            Outcome::Ok(measured) => Some(measured),
            Outcome::NoEvidence { .. } | Outcome::Skipped { .. } => None,
        }
    }
}
