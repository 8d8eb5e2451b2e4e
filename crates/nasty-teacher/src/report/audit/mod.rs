//! The report of an audit: one page, the rows and the tables in other formats, and files for scanners and continuous
//! integration.

mod card;
mod compare;
mod figures;
mod junit;
mod page;
mod sarif;
mod tables;
mod tags;
#[cfg(test)]
mod tests;
mod words;

pub use card::{CardFacts, card};
pub use compare::write_comparison;

use super::{ReportError, Table};
use crate::audit::report::REPORT_FILE;
use crate::audit::{Condition, Decision, Report, Verdict, to_json};
use crate::files::write_whole;
use std::path::{Path, PathBuf};

/// What an audit ended with, and what is written beside the folder of the report.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the audit ended with. It was decided before anything is written.
    pub decision: Decision,
    /// The condition that it was decided over.
    pub fail_on: Option<Condition>,
    /// Where to write SARIF 2.1.0.
    pub sarif: Option<PathBuf>,
    /// Where to write JUnit's XML.
    pub junit: Option<PathBuf>,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The page.
    pub page: PathBuf,
    /// The verdict and the table of the clones as text, for a terminal.
    pub text: String,
}

/// Writes `report.json`, `index.html`, `report.md`, `rows.csv`, `figures/` and `tables/` (CSV, Markdown, LaTeX) to `folder`,
/// which is made if absent, and the files that `options` ask for.
///
/// # Errors
/// [`ReportError`] if something cannot be written or drawn.
pub fn write(
    report: &Report,
    verdict: &Verdict,
    folder: &Path,
    options: &Options,
) -> Result<Written, ReportError> {
    let (decision, fail_on) = (options.decision, options.fail_on.as_ref());
    let tables = tables_of(report, verdict);
    // The rows first: they are what cannot be made again without the clones.
    std::fs::create_dir_all(folder).map_err(ReportError::io("create", folder))?;
    file(folder.join(REPORT_FILE), &to_json(report, verdict))?;
    let page = page::page(report, verdict, decision, fail_on);
    let written = page.write(folder)?;
    file(folder.join("report.md"), &page.to_markdown())?;
    file(folder.join("rows.csv"), &tables::rows(report).to_csv())?;
    write_tables(&folder.join("tables"), &tables)?;
    if let Some(path) = &options.sarif {
        let log = sarif::sarif(report, verdict, decision, fail_on);
        file(path.clone(), &(serde_json::to_string_pretty(&log).expect("plain data") + "\n"))?;
    }
    if let Some(path) = &options.junit {
        file(path.clone(), &junit::junit(report, verdict, decision, fail_on)?)?;
    }
    Ok(Written { page: written, text: text(report, verdict, decision, fail_on) })
}

/// The verdict and the table of the clones as text, for a terminal.
fn text(report: &Report, verdict: &Verdict, decision: Decision, fail_on: Option<&Condition>) -> String {
    let mut text = tables::thieves(report, verdict, tables::Which::LikeWorst).to_text();
    for sentence in words::verdict(report, verdict).into_iter().chain(words::decision(decision, fail_on)) {
        text += &format!("\n{sentence}");
    }
    text
}

fn tables_of(report: &Report, verdict: &Verdict) -> Vec<(&'static str, Table)> {
    [
        ("clones", Some(tables::thieves(report, verdict, tables::Which::All))),
        ("comparisons", tables::comparisons(verdict)),
        ("cost", tables::cost(report)),
        ("failures", tables::failures(report)),
        ("flags", Some(tables::flags(verdict))),
    ]
    .into_iter()
    .filter_map(|(name, table)| Some((name, table?)))
    .collect()
}

/// Writes tables as CSV, Markdown and LaTeX.
fn write_tables(folder: &Path, tables: &[(&str, Table)]) -> Result<(), ReportError> {
    std::fs::create_dir_all(folder).map_err(ReportError::io("create", folder))?;
    for (name, table) in tables {
        file(folder.join(format!("{name}.csv")), &table.to_csv())?;
        file(folder.join(format!("{name}.md")), &table.to_markdown())?;
        file(folder.join(format!("{name}.tex")), &table.to_latex())?;
    }
    Ok(())
}

fn file(path: PathBuf, text: &str) -> Result<(), ReportError> {
    write_whole(&path, text.as_bytes()).map_err(ReportError::io("write", path))
}
