//! The description of a defence: its name and parameters, its formula and source, and its guarantees.

use std::fmt;

use super::defence::Defence;
use super::error::DefenceError;
use super::query::Need;

/// A defence's description. The closed set of them is [`super::ALL`].
pub struct Facts {
    /// Its name, as it is typed.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// What is served, in the notation of the module.
    pub formula: &'static str,
    /// Who published it, and whose version this is.
    pub source: &'static str,
    /// What can be set, in the order in which it is written.
    pub parameters: &'static [Parameter],
    /// Whether the predicted class stays.
    pub top1: TopOne,
    /// What an answer depends on.
    pub answers: Answers,
    /// What it needs beside the row.
    pub needs: &'static [Need],
    /// Makes it of its parameters' values, which are in range.
    pub(super) build: fn(&[f64]) -> Box<dyn Defence>,
}

/// What a defence promises about the predicted class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopOne {
    /// It stays.
    Kept,
    /// It keeps the largest served probability, but others may become equal to it.
    KeptUpToTies,
    /// It may change.
    Changed,
}

/// What an answer depends on beside the clean row and the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answers {
    /// Nothing.
    Fixed,
    /// The image and the secret: the same image gets the same answer.
    Keyed,
    /// Every answer is drawn anew.
    Random,
    /// What was asked before.
    Stateful,
}

/// A number that can be set.
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Its value where none is given; without one it must be given.
    pub default: Option<f64>,
    /// Its smallest and its largest value.
    pub range: (f64, f64),
    /// Whether it must be a whole number.
    pub whole: bool,
}

impl Parameter {
    pub(super) const fn real(name: &'static str, about: &'static str, low: f64, high: f64) -> Self {
        Self { name, about, default: None, range: (low, high), whole: false }
    }

    pub(super) const fn whole(name: &'static str, about: &'static str, low: f64, high: f64) -> Self {
        Self { name, about, default: None, range: (low, high), whole: true }
    }

    pub(super) const fn or(self, default: f64) -> Self {
        Self { default: Some(default), ..self }
    }

    /// The value that `text` gives.
    pub(super) fn value(&self, defence: &'static str, text: &str) -> Result<f64, DefenceError> {
        let (low, high) = self.range;
        let value: Option<f64> = text.trim().parse().ok();
        value.filter(|v| *v >= low && *v <= high && (!self.whole || v.fract() == 0.0)).ok_or_else(|| {
            DefenceError::Value {
                defence,
                key: self.name,
                expected: self.to_string(),
                found: format!("`{text}`"),
            }
        })
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.range;
        write!(f, "a {} from {low} to {high}", if self.whole { "whole number" } else { "number" })
    }
}

impl Facts {
    /// How it is written: `reverse-sigmoid:beta=0.21,gamma=0.2`; what has no default in capitals, `top-k:K`.
    pub fn usage(&self) -> String {
        let value =
            |p: &Parameter| p.default.map_or_else(|| p.name.to_uppercase(), |value| value.to_string());
        match self.parameters {
            [] => self.name.to_owned(),
            [one] => format!("{}:{}", self.name, value(one)),
            several => {
                let list: Vec<String> = several.iter().map(|p| format!("{}={}", p.name, value(p))).collect();
                format!("{}:{}", self.name, list.join(","))
            }
        }
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
