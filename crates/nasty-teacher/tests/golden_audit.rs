//! Defences, thieves' losses, recoveries and metrics held against golden values: see `tests/golden-audit/README.md`.
//!
//! Every case of the files must be recognised, with all its parameters; another folder of the same form can be named by
//! `NASTY_GOLDEN_AUDIT_DIR`.

#![expect(clippy::print_stderr, reason = "the record of errors, shown under --nocapture")]

#[path = "golden_audit/cases.rs"]
mod cases;
#[path = "golden_audit/defences.rs"]
mod defences;
#[path = "golden_audit/losses.rs"]
mod losses;
#[path = "golden_audit/metrics.rs"]
mod metrics;
#[path = "golden_audit/recovery.rs"]
mod recovery;
