//! The report of experiments: one page, the tables in other formats, and all figures as JSON.

mod facts;
mod figures;
mod finding;
mod json;
mod measure;
mod narrow;
mod overview;
mod parts;
pub mod quickstart;
mod tables;
mod words;

use self::facts::{facts, machines_of};
use self::figures::named;
use super::number::count;
use super::{Block, Figure, Page, ReportError, Section, Table};
use crate::files::write_whole;
use crate::lab::experiment::{PageStyle, PartKind};
use crate::lab::{Findings, Outcome, SingleRun};
pub use json::REPORT_FORMAT;
use std::path::{Path, PathBuf};

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The page.
    pub page: PathBuf,
    /// The tables as text, for a terminal.
    pub text: String,
    /// What `report.json` says.
    pub json: String,
}

/// Writes `index.html`, `report.json`, `figures/` and `tables/` of `findings` to `folder`, which is made if absent.
///
/// # Errors
/// [`ReportError`] if something cannot be written or drawn.
pub fn write(findings: &[Findings], folder: &Path) -> Result<Written, ReportError> {
    write_page(&page(findings), findings, folder)
}

/// As [`write`], of everything in a store: with an overview at the top, and the runs that belong to no experiment.
///
/// # Errors
/// [`ReportError`] if something cannot be written or drawn.
pub fn write_store(
    findings: &[Findings],
    singles: &[SingleRun],
    folder: &Path,
) -> Result<Written, ReportError> {
    write_page(&store_page(findings, singles), findings, folder)
}

fn write_page(page: &Page, findings: &[Findings], folder: &Path) -> Result<Written, ReportError> {
    let page = page.write(folder)?;
    let json = serde_json::to_string_pretty(&json::json(findings)).expect("a report is plain data") + "\n";
    let file = |path: PathBuf, text: &str| {
        write_whole(&path, text.as_bytes()).map_err(ReportError::io("write", path))
    };
    file(folder.join("report.json"), &json)?;
    let tables_folder = folder.join("tables");
    std::fs::create_dir_all(&tables_folder).map_err(ReportError::io("create", &tables_folder))?;
    let mut text = String::new();
    for (of, stem) in findings.iter().zip(stems(findings)) {
        for (name, mut table) in tables_of(of, false) {
            let stem = format!("{stem}-{name}");
            table.label = format!("tab:{stem}");
            file(tables_folder.join(format!("{stem}.csv")), &table.to_csv())?;
            file(tables_folder.join(format!("{stem}.md")), &table.to_markdown())?;
            file(tables_folder.join(format!("{stem}.tex")), &table.to_latex())?;
        }
        for (_, table) in tables_of(of, true) {
            text += &table.to_text();
            text.push('\n');
        }
    }
    Ok(Written { page, text: text.trim_end().to_owned(), json })
}

/// What the files of each of `findings` begin with: its report's name, which of two of one name only the first keeps.
fn stems(findings: &[Findings]) -> Vec<String> {
    let mut stems: Vec<String> = Vec::new();
    for of in findings {
        let name = of.record.report_name();
        let whole = format!("{}-{}-{}", of.record.name, of.record.settings.scale, of.record.digest());
        stems.push(if stems.contains(&name) { whole } else { name });
    }
    stems
}

/// The tables: for a screen, or in the paper's form.
fn tables_of(findings: &Findings, narrow: bool) -> Vec<(&'static str, Table)> {
    let mut tables = match narrow {
        true => vec![("teachers", narrow::teachers(findings)), ("students", narrow::students(findings))],
        false => vec![("teachers", tables::teachers(findings)), ("students", tables::students(findings))],
    };
    tables.extend(PartKind::ALL.map(parts::of).map(|part| (part.key, (part.table)(findings))));
    tables.into_iter().filter_map(|(name, table)| Some((name, table?))).collect()
}

/// The figures, with the names of their files.
fn figures_of(findings: &Findings, stem: &str) -> Vec<Figure> {
    let parts = PartKind::ALL.map(parts::of).into_iter().filter_map(|part| (part.figure)(findings));
    let figures = parts.chain(figures::students(findings));
    figures.map(|figure| named(figure, stem)).collect()
}

/// The page of several experiments, or of one.
pub fn page(findings: &[Findings]) -> Page {
    match findings {
        [one] => match one.record.settings.page {
            // Its sentences are about one run of each network.
            PageStyle::Quickstart if one.record.settings.seeds.len() == 1 => quickstart::page(one),
            PageStyle::Quickstart | PageStyle::Standard => Page {
                title: one.record.settings.title.clone(),
                subtitle: machines(findings),
                sections: sections(one, &stems(findings)[0], false),
            },
        },
        _ => store_page(findings, &[]),
    }
}

/// The page of a store.
fn store_page(findings: &[Findings], singles: &[SingleRun]) -> Page {
    if let ([_], []) = (findings, singles) {
        return page(findings);
    }
    let sections = findings.iter().zip(stems(findings)).flat_map(|(of, stem)| sections(of, &stem, true));
    Page {
        title: "Nasty teachers: experiments".to_owned(),
        subtitle: machines(findings),
        sections: [overview::section(findings, singles)].into_iter().chain(sections).collect(),
    }
}

/// The machines of `findings`, each once, a line each.
fn machines(findings: &[Findings]) -> String {
    let mut machines: Vec<String> = Vec::new();
    for machine in findings.iter().flat_map(machines_of) {
        if !machines.contains(&machine) {
            machines.push(machine);
        }
    }
    machines.join("\n")
}

fn sections(findings: &Findings, stem: &str, several: bool) -> Vec<Section> {
    let record = &findings.record;
    let settings = &record.settings;
    let mut results: Vec<Block> = finding::findings(findings).into_iter().map(Block::Finding).collect();
    let unfinished = findings.outcomes.values().filter(|o| matches!(o, Outcome::Missing)).count();
    if unfinished > 0 {
        let text = format!(
            "{unfinished} of {} {} not finished; the command below goes on with those whose teacher can be trained.",
            count(findings.outcomes.len(), "run"),
            if unfinished == 1 { "is" } else { "are" }
        );
        results.push(Block::Callout { title: "Unfinished".into(), text });
    }
    let failed: Vec<String> =
        findings.outcomes.iter().filter_map(|(hash, outcome)| not_finite(findings, hash, outcome)).collect();
    results.extend(tables_of(findings, true).into_iter().map(|(_, table)| Block::Table(table)));
    if !failed.is_empty() {
        results.push(Block::Callout { title: "Could not be trained".into(), text: failed.join("; ") });
    }
    results.extend(figures_of(findings, stem).into_iter().map(Block::Figure));
    if let Some(remarks) = remarks(findings) {
        results.push(remarks);
    }
    let curves = figures::learning_curves(findings).into_iter();
    let curves: Vec<Block> = curves.map(|figure| Block::Figure(named(figure, stem))).collect();
    let again = vec![Block::Command(record.command.clone()), Block::Facts(facts(findings))];
    // Experiments of one file are told apart by what was changed.
    let changes = record.changes.join(" ");
    let changes = if changes.is_empty() { changes } else { format!(" ({changes})") };
    let title = settings.title.clone() + &changes;
    let mut sections = vec![Section { id: stem.to_owned(), title, blocks: results }];
    for (id, title, blocks) in [("curves", "Learning curves", curves), ("again", "Run it again", again)] {
        match (several, blocks.is_empty()) {
            (_, true) => {}
            // Among others an experiment is one section, so that the page's contents stay short.
            (true, false) => {
                sections[0].blocks.push(Block::Heading(title.to_owned()));
                sections[0].blocks.extend(blocks);
            }
            (false, false) => {
                sections.push(Section { id: format!("{stem}-{id}"), title: title.to_owned(), blocks });
            }
        }
    }
    if !several {
        "What came out".clone_into(&mut sections[0].title);
    }
    sections
}

/// How the experiment differs from the paper's: its file says it of the file's own settings, which may have been changed.
fn remarks(findings: &Findings) -> Option<Block> {
    let record = &findings.record;
    let own = ["scale=", "seeds="];
    let changed: Vec<String> = record
        .changes
        .iter()
        .filter(|change| !own.iter().any(|key| change.starts_with(key)))
        .cloned()
        .collect();
    if record.settings.remarks.is_empty() {
        return None;
    }
    let mut text = record.settings.remarks.clone();
    if !changed.is_empty() {
        text = format!("As its file is: {text}\nThis run changed: {}.", words::list(&changed));
    }
    Some(Block::Callout { title: "How this differs from the paper".into(), text })
}

fn not_finite(findings: &Findings, hash: &str, outcome: &Outcome) -> Option<String> {
    let Outcome::NotFinite(failure) = outcome else { return None };
    let name = findings.record.tasks.get(hash)?;
    Some(match &failure.divergence {
        Some(at) => {
            format!("{name}: its loss became {} in epoch {}, step {}", at.loss, at.epoch + 1, at.step + 1)
        }
        None => format!("{name}: {}", failure.message),
    })
}

#[cfg(test)]
mod tests;
