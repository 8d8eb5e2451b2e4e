//! What an objective is: a loss over a batch, with what it asks for.

use crate::training::NetworkRef;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

/// A batch as an objective sees it.
#[derive(Clone, Debug)]
pub struct LossInput {
    /// Of the network in training, `[batch, classes]`.
    pub logits: Tensor<2>,
    /// The victim's answers as log-rows `[batch, classes]` (see [`Answers::log_rows`](crate::victim::Answers::log_rows)), where
    /// the objective has a victim.
    pub answers: Option<Tensor<2>>,
    /// True classes, `[batch]`.
    pub labels: Tensor<1, Int>,
    /// 0-based.
    pub epoch: usize,
    /// Of the whole run.
    pub epochs: usize,
    /// What ω is multiplied by, as a [`Guard`] wants it; else 1.
    pub undermining: f64,
    /// What the heads say that the objective [wants](Loss::heads).
    pub heads: HeadLogits,
}

/// Heads beside a network's own that an objective has trained. They are no part of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// Classifiers of the maps after three stages; see [`Exits`](crate::nets::Exits).
    Exits,
    /// A classifier of images by the quarters that they were turned by; see [`Turns`](crate::nets::Turns).
    Turns,
}

/// What heads say about a batch.
#[derive(Clone, Debug)]
pub enum HeadLogits {
    /// There are none.
    None,
    /// Logits `[batch, classes]` after stages 1, 2 and 3.
    Exits(Box<[Tensor<2>; 3]>),
    /// Of other images, turned.
    Turned(Box<Turned>),
}

/// Images that were turned.
#[derive(Clone, Debug)]
pub struct Turned {
    /// `[images, 4]`.
    pub logits: Tensor<2>,
    /// Quarters that each was turned by, `[images]`, 0 to 3.
    pub turns: Tensor<1, Int>,
}

impl LossInput {
    /// The victim's answers.
    ///
    /// # Panics
    /// If there are none: the trainer provides them wherever [`Loss::victim`] names a network.
    pub fn answers(&self) -> Tensor<2> {
        self.answers.clone().expect("the trainer provides the victim's answers")
    }
}

/// What an objective is.
pub trait Loss {
    /// Its name in files and tables.
    fn name(&self) -> &'static str;

    /// A thief's objective with its published settings, asking `teacher`; none for objectives that are no thief's.
    fn published(_teacher: NetworkRef) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }

    /// The network that it asks for answers.
    fn victim(&self) -> Option<&NetworkRef> {
        None
    }

    /// τ, where there is one.
    fn temperature(&self) -> Option<f64> {
        None
    }

    /// How undermining is watched, where it is.
    fn guard(&self) -> Option<Guard> {
        None
    }

    /// The heads that it has trained beside the network's own, if any.
    fn heads(&self) -> Option<HeadKind> {
        None
    }

    /// What is impossible about its settings, with what to change; `None` if it can be minimised.
    fn problem(&self) -> Option<String>;

    /// The loss `[1]` of a batch.
    fn loss(&self, batch: LossInput) -> Tensor<1>;

    /// What to try first when the loss is not finite, if it is this objective's own.
    fn advice(&self) -> Option<&'static str> {
        None
    }
}

/// Gets undermining off the point where the nasty teacher equals its adversary, and keeps its accuracy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// ω is this many times larger while the answers are near the adversary's: τ²·KL below 4, as a running mean of the batches and, after an
    /// epoch, on the held-out images.
    pub boost: f64,
    /// How much held-out accuracy, as a share, the kept weights may have lost against the start. An epoch that loses more than
    /// three times as much is undone: training goes on from the kept weights with the boost halved, or with ω halved if they have
    /// left the adversary's answers.
    pub tolerance: f64,
}

/// The problem of a temperature at `objective.temperature`.
pub(super) fn temperature_problem(temperature: f64) -> Option<String> {
    let fine = temperature.is_finite() && temperature >= 1e-2;
    (!fine).then(|| format!("objective.temperature must be at least 0.01, found {temperature}"))
}

/// The problem of a weight at `key`.
pub(super) fn weight_problem(key: &str, weight: f64) -> Option<String> {
    let fine = weight.is_finite() && weight >= 0.0;
    (!fine).then(|| format!("{key} is {weight}, expected a number from 0 up"))
}

/// The problem of a share at `key`.
pub(super) fn share_problem(key: &str, share: f64) -> Option<String> {
    (!(0.0..=1.0).contains(&share)).then(|| format!("{key} is {share}, expected a share from 0 to 1"))
}
