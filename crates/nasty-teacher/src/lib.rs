//! Undistillable image classifiers: train them, attack them, measure them.
//!
//! The modules, from the bottom up (each uses only those before it): [`data`], [`random`], [`metrics`] · [`nets`],
//! [`losses`] · [`victim`] · [`defences`] · [`export`], [`training`] · [`attacks`], [`analysis`] · [`lab`] · [`audit`] ·
//! `report`.

pub mod analysis;
pub mod attacks;
pub mod audit;
pub mod data;
pub mod defences;
pub mod device;
mod error_class;
pub use error_class::{Classified, ErrorClass};
pub mod export;
mod files;
pub use burn;
pub use files::write_whole;
#[cfg(feature = "allocator")]
pub use nasty_kernels::Allocator;
pub mod lab;
pub mod losses;
pub mod metrics;
pub mod nets;
pub mod numerics;
mod panics;
mod parquet_file;
mod pickle;
mod protobuf;
pub mod random;
#[cfg(feature = "report")]
pub mod report;
pub mod tensorboard;
pub mod training;
pub mod victim;
