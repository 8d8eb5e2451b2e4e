//! A flag: something that a reader must know before believing the figures, raised or not.

use serde::Serialize;

/// A flag, raised or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Flag {
    /// Its id, such as `F1`.
    pub id: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// Whether it is raised.
    pub state: FlagState,
    /// Whether the verdict is not reliable where it is raised.
    pub serious: bool,
    /// What was found.
    pub text: String,
}

/// Whether a flag is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum FlagState {
    /// It is.
    Raised,
    /// It was checked and is not.
    Clear,
    /// It was not checked.
    NotChecked,
}

impl Flag {
    /// Whether the verdict is not reliable for it.
    pub fn undermines(&self) -> bool {
        self.serious && self.raised()
    }

    /// Whether it is raised.
    pub fn raised(&self) -> bool {
        self.state == FlagState::Raised
    }

    pub(super) fn new(
        id: &'static str,
        title: &'static str,
        serious: bool,
        raised: bool,
        text: String,
    ) -> Self {
        let state = if raised { FlagState::Raised } else { FlagState::Clear };
        Self { id, title, state, serious, text }
    }

    pub(super) fn unchecked(id: &'static str, title: &'static str, text: &str) -> Self {
        Self { id, title, state: FlagState::NotChecked, serious: false, text: text.to_owned() }
    }
}
