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
mod pass;
mod pools;
mod running;
mod squeeze_excite;

pub(crate) use activation::AnyActivation;
pub(crate) use builder::{Builder, Scheme, Spelling, Spread, TensorEntry};
pub(crate) use conv::{Conv, ConvBn, Kernel};
pub(crate) use dropout::DropPath;
pub(crate) use generative::Standardise;
pub(crate) use layer_norm::{LayerNorm, LayerScale};
pub(crate) use linear::Linear;
pub(crate) use maps::Maps;
pub(crate) use norm::BatchNorm;
pub(crate) use pass::Pass;
pub use pass::{Dropping, Mode, NormStatistics};
pub(crate) use pools::{adaptive_shares, bilinear};
pub(crate) use running::Running;
pub(crate) use squeeze_excite::SqueezeExcite;

pub(crate) use nasty_kernels::{Activation, Curve, MaxWindow};
