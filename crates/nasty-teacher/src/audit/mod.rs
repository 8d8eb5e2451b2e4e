//! Audits: how clonable a victim is. What thieves a battery has, and what their results mean.

mod bits;
pub mod report;

pub use bits::Bits;
pub use report::Report;
