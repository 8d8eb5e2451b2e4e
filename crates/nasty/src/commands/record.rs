//! `nasty audit record`.

use crate::failure::{End, Result, Trouble};
use crate::ui;
use clap::Args;
use nasty_teacher::audit::{Entry, Report, verdict};
use nasty_teacher::write_whole;
use std::path::PathBuf;

/// Arguments of `nasty audit record`.
#[derive(Args)]
pub struct RecordArgs {
    /// An audit: its folder, or its report.json
    audit: PathBuf,
    /// The entry to write, such as audits/NAME.json; what people wrote into it is kept
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// Writes a victim's entry of a public list of audits.
pub fn run(args: &RecordArgs) -> Result<End> {
    let report = Report::read(&args.audit)?;
    let earlier = Entry::read(&args.output)?;
    let entry = Entry::of(&report, &verdict(&report), earlier).ok_or_else(|| {
        let message = format!("{} has no verdict: nothing was measured", args.audit.display());
        Trouble::usage(message, Some("only audits with a worst-case clone are recorded"))
    })?;
    if let Some(folder) = args.output.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| Trouble::refused(folder.display(), &e))?;
    }
    write_whole(&args.output, entry.to_json().as_bytes())
        .map_err(|e| Trouble::refused(args.output.display(), &e))?;
    ui::data(&format!("written: {}", args.output.display()))?;
    Ok(End::Done)
}
