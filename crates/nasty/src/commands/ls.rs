//! `nasty ls`.

use crate::failure::{End, Result, Trouble};
use crate::ui;
use clap::Args;
use nasty_teacher::lab::{NamedRun, Store};
use nasty_teacher::report::{Cell, Column, Table};
use std::path::PathBuf;

/// Arguments of `nasty ls`.
#[derive(Args)]
pub struct LsArgs {
    /// Only runs whose column has this text, such as state=done data=cifar10 architecture=resnet18
    #[arg(value_name = "COLUMN=TEXT")]
    filters: Vec<String>,
    /// Folder of the runs
    #[arg(long, default_value = "runs", value_name = "DIR")]
    store: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Lists the runs of a store with what they are.
pub fn run(args: &LsArgs) -> Result<End> {
    let filters: Vec<(&str, String)> =
        args.filters.iter().map(|filter| parsed(filter)).collect::<Result<_>>()?;
    if !args.store.is_dir() {
        let help = "`nasty run NAME` makes one; --store names another folder";
        return Err(Trouble::data(format!("there is no store {}", args.store.display()), Some(help)).into());
    }
    let mut runs = Store::look(&args.store).named_runs()?;
    runs.retain(|run| filters.iter().all(|(column, text)| run.column(column).to_lowercase().contains(text)));
    if args.json {
        ui::data(&serde_json::to_string_pretty(&runs).expect("a list is plain data"))?;
        return Ok(End::Done);
    }
    // What is empty everywhere is left out.
    let columns: Vec<&str> = NamedRun::COLUMNS
        .into_iter()
        .filter(|column| *column == "hash" || runs.iter().any(|run| !run.column(column).is_empty()))
        .collect();
    let row = |run: &NamedRun| columns.iter().map(|column| Cell::text(run.column(column))).collect();
    let table = Table {
        title: format!("Runs in {}: {}", args.store.display(), runs.len()),
        columns: columns.iter().map(|column| Column::text(*column)).collect(),
        rows: runs.iter().map(row).collect(),
        ..Table::default()
    };
    ui::data(table.to_text().trim_end())?;
    Ok(End::Done)
}

fn parsed(filter: &str) -> Result<(&str, String)> {
    let known = filter.split_once('=').filter(|(column, _)| NamedRun::COLUMNS.contains(column));
    let (column, text) = known.ok_or_else(|| {
        let help = format!("columns are {}", NamedRun::COLUMNS.join(", "));
        Trouble::usage(format!("expected COLUMN=TEXT, found `{filter}`"), Some(&help))
    })?;
    Ok((column, text.to_lowercase()))
}
