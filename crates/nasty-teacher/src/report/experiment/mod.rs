//! The report of experiments: one page, the tables in other formats, and all figures as JSON.

mod figures;
mod summary;
mod tables;

use super::{Block, Page, ReportError, Section, Table};
use crate::files::write_whole;
use crate::lab::experiment::{Place, Role, Side, Source};
use crate::lab::{Findings, Machine, Outcome};
use serde::Serialize;
use std::path::{Path, PathBuf};
use summary::Summary;

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The page.
    pub page: PathBuf,
    /// The tables as text, for a terminal.
    pub text: String,
}

/// Version of `report.json`.
pub const REPORT_FORMAT: u32 = 1;

/// Writes `index.html`, `report.json` and `tables/` of `findings` to `folder`, which is made if absent.
///
/// # Errors
/// [`ReportError`] if something cannot be written or drawn.
pub fn write(findings: &[Findings], folder: &Path) -> Result<Written, ReportError> {
    let page = page(findings).write(folder)?;
    let json = serde_json::to_string_pretty(&json(findings)).expect("a report is plain data") + "\n";
    let file = |path: PathBuf, text: &str| {
        write_whole(&path, text.as_bytes()).map_err(ReportError::io("write", path))
    };
    file(folder.join("report.json"), &json)?;
    let tables_folder = folder.join("tables");
    std::fs::create_dir_all(&tables_folder).map_err(ReportError::io("create", &tables_folder))?;
    let mut text = String::new();
    for of in findings {
        for (name, table) in tables_of(of) {
            let stem = format!("{}-{}-{name}", of.record.name, of.record.settings.scale);
            file(tables_folder.join(format!("{stem}.csv")), &table.to_csv())?;
            file(tables_folder.join(format!("{stem}.md")), &table.to_markdown())?;
            file(tables_folder.join(format!("{stem}.tex")), &table.to_latex())?;
            text += &table.to_text();
            text.push('\n');
        }
    }
    Ok(Written { page, text: text.trim_end().to_owned() })
}

fn tables_of(findings: &Findings) -> Vec<(&'static str, Table)> {
    let tables = [
        ("teachers", tables::teachers(findings)),
        ("students", tables::students(findings)),
        ("data-free", tables::data_free(findings)),
        ("answers", tables::sharpness(findings)),
        ("clusters", tables::clusters(findings)),
        ("inversion", tables::inversions(findings)),
    ];
    tables.into_iter().filter_map(|(name, table)| Some((name, table?))).collect()
}

/// The page of several experiments, or of one.
pub fn page(findings: &[Findings]) -> Page {
    let title = match findings {
        [one] => one.record.settings.title.clone(),
        _ => "Nasty teachers: experiments".to_owned(),
    };
    let mut machines: Vec<String> = Vec::new();
    for machine in findings.iter().flat_map(machines_of) {
        if !machines.contains(&machine) {
            machines.push(machine);
        }
    }
    let sections = findings.iter().flat_map(|of| sections(of, findings.len() > 1)).collect();
    Page { title, subtitle: machines.join("\n"), sections }
}

fn machine(outcome: &Outcome) -> Option<(&Machine, f64)> {
    match outcome {
        Outcome::Missing | Outcome::NotFinite(_) => None,
        Outcome::Trained(result, _) => Some((&result.machine, result.seconds)),
        Outcome::Inverted(result, _) => Some((&result.machine, result.seconds)),
        Outcome::Mapped(result) => Some((&result.machine, result.seconds)),
        Outcome::Answered(result, _) => Some((&result.machine, result.seconds)),
    }
}

fn machines_of(findings: &Findings) -> Vec<String> {
    let describe = |m: &Machine| {
        format!("nasty {} on {}, {} threads, device {}", m.version, m.system, m.threads, m.device)
    };
    let mut machines: Vec<String> =
        findings.outcomes.values().filter_map(machine).map(|(m, _)| describe(m)).collect();
    machines.sort();
    machines.dedup();
    machines
}

fn sections(findings: &Findings, several: bool) -> Vec<Section> {
    let record = &findings.record;
    let settings = &record.settings;
    let mut results =
        vec![Block::Text(format!("{}, scale {}.", capitalised(&settings.shows), settings.scale))];
    if !settings.remarks.is_empty() {
        results.push(Block::Callout {
            title: "How this differs from the paper".into(),
            text: settings.remarks.clone(),
        });
    }
    let unfinished = findings.outcomes.values().filter(|o| matches!(o, Outcome::Missing)).count();
    if unfinished > 0 {
        let text = format!(
            "{unfinished} of {} runs are not finished; the command below goes on with those whose teacher can be trained.",
            findings.outcomes.len()
        );
        results.push(Block::Callout { title: "Unfinished".into(), text });
    }
    let failed: Vec<String> =
        findings.outcomes.iter().filter_map(|(hash, outcome)| not_finite(findings, hash, outcome)).collect();
    results.extend(tables_of(findings).into_iter().map(|(_, table)| Block::Table(table)));
    if !failed.is_empty() {
        results.push(Block::Callout { title: "Could not be trained".into(), text: failed.join("; ") });
    }
    let drawn = [
        figures::responses(findings),
        figures::embeddings(findings),
        figures::inversions(findings),
        figures::students(findings),
    ];
    results.extend(drawn.into_iter().flatten().map(Block::Figure));
    let title = |text: &str| if several { format!("{}: {text}", record.name) } else { text.to_owned() };
    let heading = if several { settings.title.clone() } else { "What came out".into() };
    let mut sections = vec![Section { id: record.name.clone(), title: heading, blocks: results }];
    let curves = figures::learning_curves(findings);
    if !curves.is_empty() {
        let blocks = curves.into_iter().map(Block::Figure).collect();
        sections.push(Section {
            id: format!("{}-curves", record.name),
            title: title("learning curves"),
            blocks,
        });
    }
    sections.push(Section {
        id: format!("{}-again", record.name),
        title: title("run it again"),
        blocks: vec![Block::Command(record.command.clone()), Block::Facts(facts(findings))],
    });
    if !several {
        for section in &mut sections[1..] {
            section.title = capitalised(&section.title);
        }
    }
    sections
}

fn not_finite(findings: &Findings, hash: &str, outcome: &Outcome) -> Option<String> {
    let Outcome::NotFinite(failure) = outcome else { return None };
    let name = findings.record.tasks.get(hash)?;
    Some(match &failure.divergence {
        Some(at) => format!("{name}: its loss became {} at epoch {}, step {}", at.loss, at.epoch, at.step),
        None => format!("{name}: {}", failure.message),
    })
}

fn facts(findings: &Findings) -> Vec<(String, String)> {
    let settings = &findings.record.settings;
    let join = |items: Vec<String>| items.join(", ");
    let seconds: f64 = findings.outcomes.values().filter_map(machine).map(|(_, seconds)| seconds).sum();
    let done = findings.outcomes.values().filter(|o| !matches!(o, Outcome::Missing)).count();
    let time = if seconds < 600.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) };
    vec![
        ("data".into(), join(settings.data.iter().map(ToString::to_string).collect())),
        ("seeds".into(), join(settings.seeds.iter().map(ToString::to_string).collect())),
        ("runs".into(), format!("{done} of {} done, {time} of work", findings.outcomes.len())),
    ]
}

/// With a capital at the front; a symbol stays as it is, for ω is not Ω.
fn capitalised(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

#[derive(Serialize)]
struct ReportJson<'a> {
    format: u32,
    experiments: Vec<ExperimentJson<'a>>,
}

#[derive(Serialize)]
struct ExperimentJson<'a> {
    name: &'a str,
    scale: String,
    title: &'a str,
    command: &'a str,
    seeds: &'a [u64],
    machines: Vec<String>,
    cells: Vec<CellJson<'a>>,
}

#[derive(Serialize)]
struct CellJson<'a> {
    role: Role,
    #[serde(flatten)]
    place: Place,
    #[serde(flatten)]
    summary: Summary,
    /// The paper's figure for this cell.
    paper: Option<f64>,
    /// Hashes of the runs, by seed.
    runs: Vec<&'a str>,
}

fn json(findings: &[Findings]) -> ReportJson<'_> {
    let experiment = |of: &'_ Findings| -> Vec<(Role, Place)> {
        let mut cells: Vec<(Role, Place)> = Vec::new();
        for entry in &of.record.entries {
            if !cells.iter().any(|(role, place)| *role == entry.role && *place == entry.place) {
                cells.push((entry.role, entry.place.clone()));
            }
        }
        cells
    };
    let experiments = findings.iter().map(|of| ExperimentJson {
        name: &of.record.name,
        scale: of.record.settings.scale.to_string(),
        title: &of.record.settings.title,
        command: &of.record.command,
        seeds: &of.record.settings.seeds,
        machines: machines_of(of),
        cells: experiment(of).into_iter().map(|(role, place)| cell(of, role, place)).collect(),
    });
    ReportJson { format: REPORT_FORMAT, experiments: experiments.collect() }
}

fn cell(of: &Findings, role: Role, place: Place) -> CellJson<'_> {
    let reference = summary::reference(&of.record.settings, &place, place.student.as_deref());
    let paper = reference.and_then(|r| match role {
        Role::NormalTeacher | Role::Student(Source::Normal) | Role::DataFree(Side::Normal) => r.normal,
        Role::NastyTeacher | Role::Student(Source::Nasty) | Role::DataFree(Side::Nasty) => r.nasty,
        Role::Student(Source::Alone) => r.alone,
        _ => None,
    });
    let entries = of.record.entries.iter().filter(|e| e.role == role && e.place == place);
    let runs = entries.map(|e| e.task.as_str()).collect();
    CellJson { role, summary: Summary::of(of, role, &place), paper, runs, place }
}

#[cfg(test)]
mod tests;
