//! Audits: how clonable a victim is. What thieves a battery has, and what their results mean.

mod assemble;
mod battery;
mod carry_out;
mod cells;
mod compare;
mod condition;
mod curves;
mod difference;
mod entry;
mod error;
mod flag;
mod flags;
mod judge;
mod probes;
#[cfg(test)]
mod probes_tests;
mod read;
pub mod report;
mod schedule;
mod subject;
#[cfg(test)]
pub(crate) mod test_support;
#[cfg(test)]
mod tests;
mod verdict;
mod working;

pub use crate::metrics::Bits;
pub use battery::{Battery, Effort};
pub use carry_out::{AuditEnd, carry_out};
pub use cells::{Cell, Estimate, cells};
pub use compare::{Audited, Compared, Comparison, compare};
pub use condition::{Condition, Decision, Gap, Name, decide};
pub use curves::{Curve, Point};
pub use difference::Difference;
pub use entry::{BatteryResult, Entry, External};
pub use error::AuditError;
pub use flag::{Flag, FlagState};
pub use flags::before as flags_before;
pub use judge::verdict;
pub use probes::user_cost;
pub use report::{Quality, Report, UserCost};
pub use schedule::{Schedule, Trial};
pub use subject::{Request, Subject};
pub use verdict::{CloneFacts, ProtectionFacts, Reference, Verdict};

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
