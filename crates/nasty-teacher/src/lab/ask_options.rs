//! How a victim is asked, as plain data.

use crate::data::DataName;
use crate::defences::Stack;
use crate::victim::{Asking, HttpSettings, Interface};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a victim is asked, and what stands in front of it. Plain data, without any secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AskOptions {
    /// How answers are given out; absent for as they are.
    pub interface: Option<Interface>,
    /// How a foreign classifier is asked.
    #[serde(skip_serializing_if = "is_open")]
    pub asking: Asking,
    /// How a server is spoken to.
    #[serde(skip_serializing_if = "is_usual")]
    pub http: HttpSettings,
    /// The defences in front of it.
    pub defence: Stack,
    /// The file with the owner's secret.
    pub secret_file: Option<PathBuf>,
    /// The data set of the owner's own images: its training images make the table of a class tail, and the gradient that a margin
    /// budget's proxy is moved along.
    pub owner_data: Option<DataName>,
    /// Adaptive misinformation: the network that was trained to be wrong.
    pub wrong: Option<String>,
    /// Product of experts and margin budgets: the proxy student.
    pub proxy: Option<String>,
    /// MAD and gradient redirection: the surrogate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surrogate: Option<String>,
}

impl AskOptions {
    /// The owner's other networks that its defences use, as they were typed.
    pub fn networks(&self) -> impl Iterator<Item = &str> {
        [&self.wrong, &self.proxy, &self.surrogate].into_iter().flatten().map(String::as_str)
    }
}

fn is_open(asking: &Asking) -> bool {
    *asking == Asking::default()
}

fn is_usual(settings: &HttpSettings) -> bool {
    *settings == HttpSettings::default()
}
