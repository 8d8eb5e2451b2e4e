//! One file a subcommand.

pub mod data;
pub mod devices;
pub mod evaluate;
pub mod place;
pub mod quickstart;
pub mod single;
