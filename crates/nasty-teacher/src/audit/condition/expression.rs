//! What a condition says, and its value.

use crate::audit::{CloneFacts, Verdict};
use std::fmt;

/// What is true or false.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Truth {
    Unreliable,
    Compare(Number, Comparison, Number),
    Not(Box<Truth>),
    And(Box<Truth>, Box<Truth>),
    Or(Box<Truth>, Box<Truth>),
}

/// What has a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Number {
    Constant(f64),
    Named(Name),
    Negative(Box<Number>),
    Operation(Box<Number>, Operator, Box<Number>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Plus,
    Minus,
    Times,
    Over,
}

/// A figure of a verdict that a condition can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Accuracy of the worst-case clone.
    Clone,
    /// Accuracy of the clone that a thief would keep.
    Chosen,
    /// Share of the test images on which the worst-case clone gives the class that the victim serves.
    Agreement,
    /// Accuracy of the victim.
    Victim,
    /// Accuracy of guessing.
    Chance,
    /// Accuracy of the best that needs no victim.
    Alone,
    /// Accuracy of the best clone from predicted classes.
    Hard,
    /// Accuracy of the best clone from probabilities.
    Soft,
    /// What probabilities are worth beyond predicted classes, in accuracy.
    Advantage,
    /// What the defences took from the best clone, in accuracy.
    Removed,
    /// Share of what was at stake that the defences took.
    Protection,
}

impl Name {
    /// All names.
    pub const ALL: [Self; 11] = [
        Self::Clone,
        Self::Chosen,
        Self::Agreement,
        Self::Victim,
        Self::Chance,
        Self::Alone,
        Self::Hard,
        Self::Soft,
        Self::Advantage,
        Self::Removed,
        Self::Protection,
    ];

    /// How it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clone => "clone",
            Self::Chosen => "chosen",
            Self::Agreement => "agreement",
            Self::Victim => "victim",
            Self::Chance => "chance",
            Self::Alone => "alone",
            Self::Hard => "hard",
            Self::Soft => "soft",
            Self::Advantage => "advantage",
            Self::Removed => "removed",
            Self::Protection => "protection",
        }
    }

    /// Its value; none if the audit did not measure it.
    pub fn value(self, verdict: &Verdict) -> Option<f64> {
        let mean = |clone: &Option<CloneFacts>| Some(clone.as_ref()?.accuracy.mean);
        match self {
            Self::Clone => mean(&verdict.worst_case),
            Self::Chosen => mean(&verdict.chosen),
            Self::Agreement => verdict.worst_case.as_ref()?.agreement_served,
            Self::Victim => Some(verdict.victim),
            Self::Chance => Some(verdict.chance),
            Self::Alone => mean(&verdict.alone),
            Self::Hard => mean(&verdict.hard),
            Self::Soft => mean(&verdict.soft),
            Self::Advantage => verdict.soft_label_advantage.as_ref().map(|d| d.mean),
            Self::Removed => verdict.removed.as_ref().map(|d| d.mean),
            Self::Protection => verdict.protection.as_ref()?.score,
        }
    }
}

/// Why a condition cannot be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// It names what the audit did not measure.
    NotMeasured(Name),
    /// It compares what is no number, such as 0/0.
    NotANumber,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMeasured(name) => write!(f, "`{}` was not measured", name.as_str()),
            Self::NotANumber => f.write_str("it compares what is no number"),
        }
    }
}

impl Truth {
    pub(super) fn holds(&self, reliable: bool, value: &dyn Fn(Name) -> Option<f64>) -> Result<bool, Gap> {
        let of = |truth: &Self| truth.holds(reliable, value);
        match self {
            Self::Unreliable => Ok(!reliable),
            Self::Compare(a, comparison, b) => {
                let (a, b) = (a.value(value)?, b.value(value)?);
                if a.is_nan() || b.is_nan() {
                    return Err(Gap::NotANumber);
                }
                Ok(match comparison {
                    Comparison::Less => a < b,
                    Comparison::AtMost => a <= b,
                    Comparison::More => a > b,
                    Comparison::AtLeast => a >= b,
                })
            }
            Self::Not(truth) => Ok(!of(truth)?),
            // One side may decide although the other was not measured.
            Self::And(a, b) => match (of(a), of(b)) {
                (Ok(false), _) | (_, Ok(false)) => Ok(false),
                (a, b) => Ok(a? && b?),
            },
            Self::Or(a, b) => match (of(a), of(b)) {
                (Ok(true), _) | (_, Ok(true)) => Ok(true),
                (a, b) => Ok(a? || b?),
            },
        }
    }
}

impl Number {
    fn value(&self, value: &dyn Fn(Name) -> Option<f64>) -> Result<f64, Gap> {
        match self {
            Self::Constant(constant) => Ok(*constant),
            Self::Named(name) => value(*name).ok_or(Gap::NotMeasured(*name)),
            Self::Negative(number) => Ok(-number.value(value)?),
            Self::Operation(a, operator, b) => {
                let (a, b) = (a.value(value)?, b.value(value)?);
                Ok(match operator {
                    Operator::Plus => a + b,
                    Operator::Minus => a - b,
                    Operator::Times => a * b,
                    Operator::Over => a / b,
                })
            }
        }
    }
}
