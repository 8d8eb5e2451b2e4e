//! What networks are built from. Here the layout of activations, the choice of kernel, the names of the state
//! dictionary and the initial weights are hidden, so that a network's file reads like its figure.

mod builder;
mod conv;
mod generative;
mod linear;
mod maps;
mod norm;
mod running;

pub(crate) use builder::{Builder, Scheme, Spread, TensorEntry};
pub(crate) use conv::{Conv, ConvBn, Kernel};
pub(crate) use generative::Standardise;
pub(crate) use linear::Linear;
pub(crate) use maps::{Maps, Pass};
pub(crate) use norm::BatchNorm;
pub use norm::NormStatistics;
pub(crate) use running::Running;

pub(crate) use nasty_kernels::Activation;
