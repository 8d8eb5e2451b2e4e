//! Weights that training begins with.

use serde::{Deserialize, Serialize};

use super::network_ref::NetworkRef;

/// The network whose weights a run begins with, instead of random ones.
///
/// Its normalisation is kept. So is its last layer, if it tells the classes of the data apart; else a new one is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The network; of the recipe's architecture.
    pub network: NetworkRef,
    /// The stage up to which, itself included, weights stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<String>,
}
