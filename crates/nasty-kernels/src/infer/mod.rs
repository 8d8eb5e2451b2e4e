//! Answering with a prepared network.
//!
//! A [`Builder`] takes a network's operations, packs and transforms the weights once, and makes a [`Plan`]; the plan answers
//! as often as it is asked, from several threads. There is no tensor framework between the kernels: values lie in buffers that
//! were planned beforehand.
//!
//! A few images are computed by all threads together: every operation is split along pixels or across channels
//! (`operation.rs`, `team.rs`). Of many images each thread takes chunks through the whole network, and within a chunk so
//! many at a time as stay in the cache (`buffers.rs`). No sum is ever split, so every way gives the same bits.
#![allow(unsafe_code, reason = "tasks write disjoint parts of shared buffers")]

mod buffers;
mod builder;
mod convolution;
mod depthwise;
mod fusible;
mod layout;
mod operation;
mod patches;
mod plan;
mod product;
mod simple;
mod team;
#[cfg(test)]
mod tests;
mod winograd;

pub use self::builder::{Builder, ConvParts, ValueId};
pub use self::plan::Plan;
