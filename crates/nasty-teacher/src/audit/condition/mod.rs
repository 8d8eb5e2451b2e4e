//! Conditions over a verdict, such as `clone >= 0.95*victim`, and what they decide.

mod expression;
mod parse;
#[cfg(test)]
mod tests;

use super::{AuditError, Verdict};
use expression::Truth;
pub use expression::{Gap, Name};
use std::fmt;

/// A condition over a verdict: comparisons of sums and products of numbers and [`Name`]s, joined by `and`, `or`, `not` and
/// parentheses. `95%` is 0.95.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    root: Truth,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// [`AuditError::Condition`] with the place of what cannot be read.
    pub fn parse(text: &str) -> Result<Self, AuditError> {
        Ok(Self { text: text.to_owned(), root: parse::parse(text)? })
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// What is missing to decide it.
    pub fn holds(&self, verdict: &Verdict) -> Result<bool, Gap> {
        self.root.holds(verdict.reliable, &|name| name.value(verdict))
    }

    /// Whether it would hold if `clone` were the accuracy of the worst case.
    ///
    /// # Errors
    /// As [`Self::holds`].
    pub fn holds_for(&self, verdict: &Verdict, clone: f64) -> Result<bool, Gap> {
        let value = |name: Name| if name == Name::Clone { Some(clone) } else { name.value(verdict) };
        self.root.holds(verdict.reliable, &value)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What an audit ends with. It is decided once, before anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The condition for a failure does not hold, or there is none.
    Passed,
    /// It holds.
    Failed,
    /// It cannot be decided.
    Undecided(Gap),
    /// No clone is evidence, so there is no verdict.
    NothingMeasured,
    /// The audit was stopped before it was finished: there is no verdict yet.
    Unfinished,
}

impl Decision {
    /// The program's exit code: 0 only after an audit that was finished and measured something.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Undecided(_) | Self::NothingMeasured => 3,
            Self::Failed => 4,
            Self::Unfinished => 75,
        }
    }
}

/// Decides over a verdict whose audit is to fail where `fail_on` holds; `complete` says whether it was finished.
pub fn decide(verdict: &Verdict, complete: bool, fail_on: Option<&Condition>) -> Decision {
    if !complete {
        return Decision::Unfinished;
    }
    if verdict.worst_case.is_none() {
        return Decision::NothingMeasured;
    }
    match fail_on.map(|condition| condition.holds(verdict)) {
        None | Some(Ok(false)) => Decision::Passed,
        Some(Ok(true)) => Decision::Failed,
        Some(Err(gap)) => Decision::Undecided(gap),
    }
}
