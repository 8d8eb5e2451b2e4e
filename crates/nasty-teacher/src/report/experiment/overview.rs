//! An overview of a store: every completed experiment, and the runs that belong to none.

use super::finding;
use crate::lab::{Findings, Outcome, SingleRun};
use crate::report::{Block, Cell, Column, Section, Table};
use crate::training::Loss;

/// The section with the overview.
pub(super) fn section(findings: &[Findings], singles: &[SingleRun]) -> Section {
    let mut blocks = Vec::new();
    if !findings.is_empty() {
        blocks.push(Block::Table(experiments(findings)));
    }
    if !singles.is_empty() {
        blocks.push(Block::Table(single_runs(singles)));
    }
    Section { id: "overview".into(), title: "What was run here".into(), blocks }
}

fn experiments(findings: &[Findings]) -> Table {
    let row = |of: &Findings| {
        let record = &of.record;
        let finished = of.outcomes.values().filter(|o| !matches!(o, Outcome::Missing)).count();
        let changes: Vec<&str> = record.changes.iter().map(String::as_str).collect();
        vec![
            Cell::text(record.name.clone()),
            Cell::text(record.settings.scale.to_string()),
            Cell::text(changes.join(" ")),
            Cell::text(format!("{finished} of {}", of.outcomes.len())),
            Cell::text(finding::findings(of).first().map_or_else(String::new, |text| first_sentence(text))),
        ]
    };
    Table {
        title: "Experiments".into(),
        columns: ["experiment", "scale", "changed", "runs finished", "finding"].map(Column::text).into(),
        rows: findings.iter().map(row).collect(),
        ..Table::default()
    }
}

/// Up to its first full stop; those inside numbers have no space behind them.
fn first_sentence(text: &str) -> String {
    text.split_once(". ").map_or_else(|| text.to_owned(), |(first, _)| format!("{first}."))
}

/// The table of runs that belong to no experiment.
pub(super) fn single_runs(singles: &[SingleRun]) -> Table {
    let row = |run: &SingleRun| {
        let of = |text: fn(&crate::training::Recipe) -> String| {
            run.recipe.as_ref().map_or(Cell::Empty, |recipe| Cell::text(text(recipe)))
        };
        vec![
            Cell::text(run.hash.clone()),
            of(|recipe| recipe.architecture.to_string()),
            of(|recipe| recipe.data.name.to_string()),
            of(|recipe| recipe.objective.name().to_owned()),
            run.recipe.as_ref().map_or(Cell::Empty, |recipe| Cell::number(recipe.epochs as f64, 0)),
            run.recipe.as_ref().map_or(Cell::Empty, |recipe| Cell::number(recipe.seed as f64, 0)),
            Cell::number(100.0 * run.result.test.accuracy, 2),
            Cell::number(run.result.seconds, 0),
        ]
    };
    Table {
        title: "Single runs".into(),
        columns: vec![
            Column::text("run"),
            Column::text("network"),
            Column::text("data"),
            Column::text("objective"),
            Column::number("epochs", ""),
            Column::number("seed", ""),
            Column::number("test accuracy", "%"),
            Column::number("training", "s"),
        ],
        rows: singles.iter().map(row).collect(),
        note: Some("Networks of this store that no experiment asked for.".into()),
        ..Table::default()
    }
}
