//! Options about defences in front of a victim.

use super::place::named;
use clap::Args;
use nasty_teacher::data::DataName;
use nasty_teacher::defences::Stack;
use nasty_teacher::lab::AskOptions;
use std::path::PathBuf;

/// Defences, and what they need.
#[derive(Args)]
pub struct DefenceArgs {
    /// Defences in front of the victim, such as rounding:decimals=1 or temperature:2+flat-tail
    #[arg(long, value_name = "STACK", value_parser = named::<Stack>)]
    pub defence: Option<Stack>,
    /// File with the secret that keys the defences
    #[arg(long, value_name = "FILE", requires = "defence")]
    pub secret_file: Option<PathBuf>,
    /// Adaptive misinformation: the network that was trained to be wrong
    #[arg(long, value_name = "VICTIM", requires = "defence")]
    pub wrong: Option<String>,
    /// Product of experts and margin budgets: the proxy student
    #[arg(long, value_name = "VICTIM", requires = "defence")]
    pub proxy: Option<String>,
    /// MAD and gradient redirection: the surrogate, or an architecture for an untrained one
    #[arg(long, value_name = "VICTIM", requires = "defence")]
    pub surrogate: Option<String>,
}

impl DefenceArgs {
    /// `how` with these defences, whose owner has the training images of `owner_data`.
    pub fn added(&self, how: AskOptions, owner_data: Option<DataName>) -> AskOptions {
        AskOptions {
            defence: self.defence.clone().unwrap_or_default(),
            secret_file: self.secret_file.clone(),
            owner_data,
            wrong: self.wrong.clone(),
            proxy: self.proxy.clone(),
            surrogate: self.surrogate.clone(),
            ..how
        }
    }
}
