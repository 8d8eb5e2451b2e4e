//! `nasty audit compare`.

use crate::failure::{End, Result, Trouble};
use crate::ui;
use clap::Args;
use nasty_teacher::audit::{Audited, Report, compare, verdict};
use nasty_teacher::report::audit::write_comparison;
use std::path::{Path, PathBuf};

/// Arguments of `nasty audit compare`.
#[derive(Args)]
pub struct CompareArgs {
    /// Audits: their folders, or their report.json files
    #[arg(required = true, num_args = 2.., value_name = "AUDIT")]
    audits: Vec<PathBuf>,
    /// Folder for index.html, comparison.json, the figures and the tables
    #[arg(long, short, default_value = "comparison", value_name = "DIR")]
    out: PathBuf,
}

/// Puts audits side by side, by what their victims cost honest users.
pub fn run(args: &CompareArgs) -> Result<End> {
    let mut audits: Vec<Audited> = Vec::new();
    for path in &args.audits {
        let report = Report::read(path)?;
        let name = name(path);
        if audits.iter().any(|other| other.name == name) {
            return Err(Trouble::usage(format!("{name} is named twice"), None).into());
        }
        audits.push(Audited { name, verdict: verdict(&report), report });
    }
    let written = write_comparison(&compare(&audits), &args.out)?;
    ui::data(&written.text)?;
    ui::data(&format!("\nreport   {}", written.page.display()))?;
    Ok(End::Done)
}

/// What an audit is called: its folder, as it was typed.
fn name(path: &Path) -> String {
    let file = path.is_file() && path.file_name().is_some_and(|name| name == "report.json");
    let folder = path.parent().filter(|folder| file && !folder.as_os_str().is_empty());
    folder.unwrap_or(path).display().to_string()
}
