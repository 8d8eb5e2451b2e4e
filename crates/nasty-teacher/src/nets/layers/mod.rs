//! The layers from which networks are built. They hide the layout of activations, the choice of kernel, the names of
//! the state dictionary and the initial weights, so that a network's file reads like the paper's figure.

mod activation;
mod builder;
mod conv;
mod dropout;
mod generative;
mod layer_norm;
mod linear;
mod maps;
mod norm;
mod pools;
mod running;

pub(crate) use activation::{AnyActivation, SqueezeExcite};
pub(crate) use builder::{Builder, Scheme, Spelling, Spread, TensorEntry};
pub(crate) use conv::{Conv, ConvBn, Kernel};
pub(crate) use dropout::DropPath;
pub use dropout::Dropping;
pub(crate) use generative::Standardise;
pub(crate) use layer_norm::{LayerNorm, LayerScale};
pub(crate) use linear::Linear;
pub(crate) use maps::{Maps, Pass};
pub(crate) use norm::BatchNorm;
pub use norm::NormStatistics;
pub(crate) use pools::adaptive_shares;
pub(crate) use running::Running;

pub(crate) use nasty_kernels::{Activation, Curve, MaxWindow};
