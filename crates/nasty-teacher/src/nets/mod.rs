//! The networks: the paper's architectures, one file a family, built from `layers` only.
//!
//! An [`Architecture`] is a name; [`Architecture::build`] makes a [`Network`] of it. Activations are NHWC inside,
//! weights are named and shaped as in the published PyTorch definitions, so a state dictionary needs no mapping.

mod architecture;
mod body;
mod cifar_resnet;
mod cnn;
mod densenet;
mod error;
mod export;
mod generator;
mod graph;
mod import;
mod layers;
mod mlp;
mod mobilenet;
mod network;
mod overview;
mod prepared;
mod preresnet;
mod resnet;
mod resnext;
mod shufflenet;
mod state_dict;
#[cfg(test)]
mod tests;
mod weights;
mod wide_resnet;

pub use architecture::{Architecture, Input};
pub use error::NetError;
pub use export::{ExportError, export};
pub use generator::Generator;
pub use graph::{Graph, LayerSummary, Node, Op};
pub use import::{ImportError, ImportOptions, ImportReport, Imported, Side, import};
pub use layers::NormStatistics;
pub use nasty_kernels::Precision;
pub use network::{Mode, NamedTensor, Network, Output};
pub use overview::Overview;
pub use prepared::{Answering, Prepared};
pub use weights::{CONFIG_FILE, NetworkConfig, WEIGHTS_FILE, load, save};
