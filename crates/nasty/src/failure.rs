//! Exit codes, and errors rendered for a person, in one place.

use miette::Report;
use nasty_teacher::analysis::AnalysisError;
use nasty_teacher::data::DataError;
use nasty_teacher::device::DeviceError;
use nasty_teacher::lab::experiment::{ExperimentError, ResolveError};
use nasty_teacher::lab::{JobError, OverrideError, StoreError};
use nasty_teacher::nets::{ExportError, ImportError, NetError};
use nasty_teacher::report::ReportError;
use nasty_teacher::training::TrainError;
use std::process::ExitCode;

/// Wrong usage or configuration.
pub const USAGE: u8 = 2;
/// Bad data, or a bad checkpoint, or a file system that refuses.
pub const BAD_DATA: u8 = 3;
/// The training itself failed: its loss is not finite.
pub const NOT_FINITE: u8 = 6;
/// Stopped on request with its state saved: the same command goes on.
pub const STOPPED: u8 = 75;

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All done.
    Done,
    /// Stopped on request with its state saved.
    Stopped,
}

/// Shows `report` on standard error and gives the exit code for it.
#[expect(clippy::print_stderr, reason = "the one place where errors are shown")]
pub fn show(report: &Report) -> ExitCode {
    let mut text = format!("error: {report}");
    for cause in report.chain().skip(1).map(ToString::to_string) {
        // Some messages tell their cause themselves.
        if !text.contains(&cause) {
            text += &format!("\n  because: {cause}");
        }
    }
    if let Some(help) = report.help() {
        text += &format!("\n  help: {help}");
    }
    eprintln!("{text}");
    ExitCode::from(code(report))
}

fn code(report: &Report) -> u8 {
    if let Some(job) = report.downcast_ref::<JobError>() {
        return match job {
            JobError::Recipe { .. } | JobError::Analysis(AnalysisError::TooFewImages { .. }) => USAGE,
            JobError::Train(TrainError::NotFinite { .. }) => NOT_FINITE,
            JobError::Store(StoreError::Stopped(_)) => STOPPED,
            JobError::Data(_)
            | JobError::Network(_)
            | JobError::Store(_)
            | JobError::Train(_)
            | JobError::Analysis(_) => BAD_DATA,
        };
    }
    if let Some(DataError::Impossible { .. } | DataError::UnknownName { .. }) = report.downcast_ref() {
        return USAGE;
    }
    if let Some(ImportError::Description { .. } | ImportError::Occupied { .. }) = report.downcast_ref() {
        return USAGE;
    }
    if let Some(ExportError::Format { .. } | ExportError::Occupied { .. }) = report.downcast_ref() {
        return USAGE;
    }
    let weights = report.is::<ImportError>() || report.is::<ExportError>();
    let in_data = matches!(report.downcast_ref(), Some(ResolveError::Data(_)));
    let experiment = report.is::<ExperimentError>() || report.is::<ResolveError>() && !in_data;
    let usage =
        experiment || report.is::<OverrideError>() || report.is::<DeviceError>() || report.is::<Usage>();
    let written = matches!(report.downcast_ref(), Some(ReportError::Io { .. }));
    let data = in_data
        || written
        || weights
        || report.is::<DataError>()
        || report.is::<NetError>()
        || report.is::<StoreError>();
    match (usage, data) {
        (true, _) => USAGE,
        (_, true) => BAD_DATA,
        _ => 1,
    }
}

/// Something typed that cannot be done.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{message}")]
pub struct Usage {
    /// What was expected and what was found.
    pub message: String,
    /// What to do.
    #[help]
    pub help: Option<String>,
}
