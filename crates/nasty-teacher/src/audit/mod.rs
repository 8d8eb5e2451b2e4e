//! Audits: how clonable a victim is. What thieves a battery has, and what their results mean.

mod bits;
mod cells;
mod compare;
mod condition;
mod curves;
mod difference;
mod entry;
mod error;
mod flags;
mod read;
pub mod report;
#[cfg(test)]
pub(crate) mod test_support;
#[cfg(test)]
mod tests;
mod verdict;
mod working;

pub use bits::Bits;
pub use cells::{Cell, Estimate, cells};
pub use compare::{Audited, Compared, Comparison, compare};
pub use condition::{Condition, Decision, Gap, Name, decide};
pub use curves::{Curve, Point};
pub use difference::Difference;
pub use entry::{BatteryResult, Entry, External};
pub use error::AuditError;
pub use flags::{Flag, FlagState, before as flags_before};
pub use report::Report;
pub use verdict::{CloneFacts, ProtectionFacts, Reference, Verdict, verdict};

use serde::Serialize;

/// `report.json`: the verdict, then the rows that it is computed from. Who reads it computes the verdict again.
pub fn to_json(report: &Report, verdict: &Verdict) -> String {
    #[derive(Serialize)]
    struct Document<'a> {
        verdict: &'a Verdict,
        #[serde(flatten)]
        report: &'a Report,
    }
    serde_json::to_string_pretty(&Document { verdict, report }).expect("a report is plain data") + "\n"
}
