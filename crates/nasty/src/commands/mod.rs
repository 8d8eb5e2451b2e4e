//! One file per subcommand.

pub mod asking;
pub mod audit;
pub mod card;
mod closing;
pub mod compare;
pub mod completions;
pub mod data;
pub mod defences;
pub mod devices;
pub mod evaluate;
pub mod experiment;
pub mod experiments;
pub mod export;
mod from;
pub mod import;
pub mod ls;
pub mod man;
pub mod networks;
pub mod onnx_worker;
pub mod place;
pub mod quickstart;
pub mod record;
pub mod report;
pub mod rm;
#[cfg(feature = "serve")]
pub mod serve;
pub mod single;
pub mod slurm;
pub mod status;
pub mod work;
