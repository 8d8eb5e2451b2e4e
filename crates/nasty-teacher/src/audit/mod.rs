//! Audits: how clonable a victim is. What thieves a battery has, and what their results mean.

mod assemble;
mod battery;
mod bits;
mod probes;
pub mod report;
mod schedule;
mod subject;

pub use assemble::{Seen, report as assemble};
pub use battery::{Battery, Effort};
pub use bits::Bits;
pub use report::Report;
pub use schedule::{Schedule, Trial};
pub use subject::{Request, Subject};
