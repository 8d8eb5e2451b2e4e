//! Undistillable image classifiers: train them, attack them, measure them.
//!
//! The rooms, from the ground up (each uses only those below it): [`data`], [`random`] · [`nets`], [`losses`] ·
//! [`training`] · [`attacks`], [`analysis`] · [`lab`] · [`report`].

pub mod analysis;
pub mod attacks;
pub mod data;
pub mod device;
mod files;
pub use files::write_whole;
pub use nasty_kernels::Allocator;
pub mod lab;
pub mod losses;
pub mod nets;
pub mod numerics;
mod pickle;
mod protobuf;
pub mod random;
pub mod report;
pub mod tensorboard;
pub mod training;
