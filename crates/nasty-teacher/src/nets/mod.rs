//! The networks, one file per family, built only from `layers`: the paper's, those of torchvision and timm
//! (`imagenet`), and those of the distillation benchmarks (`distillation`).
//!
//! An [`Architecture`] is a name; [`Architecture::build`] makes a [`Network`] from it. Activations are NHWC inside;
//! weights have the names and shapes of the published PyTorch definitions, so a state dictionary needs no mapping.

mod architecture;
mod body;
mod cifar_resnet;
mod cnn;
mod densenet;
mod distillation;
mod error;
mod generator;
mod graph;
mod heads;
mod host;
mod imagenet;
mod import;
mod layers;
mod mlp;
mod mobilenet;
mod network;
mod overview;
mod prepared;
mod preresnet;
mod reorder;
mod resnet;
mod resnext;
mod shufflenet;
mod stages;
mod state_dict;
#[cfg(test)]
mod tests;
mod weights;
mod wide_resnet;

pub use architecture::{Architecture, Input};
pub use distillation::Distillation;
pub use error::NetError;
pub use generator::Generator;
pub use graph::{Graph, LayerSummary, Node, Op};
pub use heads::{Exits, Turns};
pub use host::host;
pub use imagenet::ImageNet;
pub use import::{
    Check, ImportError, ImportOptions, ImportReport, Imported, Known, LogitCheck, Side, check, import,
    tensors,
};
pub(crate) use layers::adaptive_shares;
pub use layers::{Dropping, Mode, NormStatistics};
pub use nasty_kernels::{Curve, MaxWindow, Precision};
pub use network::{Network, Output};
pub use overview::Overview;
pub use prepared::{Answering, Prepared};
pub use state_dict::NamedTensor;
pub use weights::{CONFIG_FILE, Loaded, NetworkConfig, WEIGHTS_FILE, digest, load, load_known, save};
pub(crate) use weights::{config_text, to_safetensors, write_whole};
