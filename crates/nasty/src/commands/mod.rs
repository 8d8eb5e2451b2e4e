//! One file a subcommand.

pub mod devices;
pub mod evaluate;
pub mod export;
pub mod import;
pub mod networks;
pub mod place;
pub mod quickstart;
pub mod single;
