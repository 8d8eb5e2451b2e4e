//! `nasty rm` and `nasty gc`.

use crate::failure::{End, Result, Trouble};
use crate::ui;
use clap::Args;
use nasty_teacher::lab::{Garbage, Store};
use std::path::{Path, PathBuf};

/// Arguments of `nasty rm`.
#[derive(Args)]
pub struct RmArgs {
    /// The runs: their hashes, or the first digits
    #[arg(value_name = "HASH", required = true)]
    runs: Vec<String>,
    /// Delete runs to which experiments, plans, audits or other runs refer, too
    #[arg(long)]
    force: bool,
    /// Folder of the runs
    #[arg(long, default_value = "runs", value_name = "DIR")]
    store: PathBuf,
}

/// Arguments of `nasty gc`.
#[derive(Args)]
pub struct GcArgs {
    /// Delete the runs and networks to which no experiment, plan or audit refers, too: single runs among them
    #[arg(long)]
    runs: bool,
    /// Show what would be deleted, and stop
    #[arg(long)]
    dry_run: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// Folder of the runs
    #[arg(long, default_value = "runs", value_name = "DIR")]
    store: PathBuf,
}

/// Deletes runs.
pub fn remove(args: &RmArgs) -> Result<End> {
    let store = existing(&args.store)?;
    let runs: Vec<_> =
        args.runs.iter().map(|text| store.find(text)).collect::<std::result::Result<_, _>>()?;
    for run in runs.iter().filter(|_| !args.force) {
        // What is deleted with it does not count.
        let mut references = store.references(&run.hash)?;
        references.retain(|reference| !runs.iter().any(|other| *reference == format!("run {}", other.hash)));
        if !references.is_empty() {
            let message = format!("run {} is needed by {}", run.hash, references.join(", "));
            return Err(Trouble::usage(message, Some("--force deletes it all the same")).into());
        }
    }
    for run in runs {
        store.remove(&run.hash)?;
        ui::data(&format!("deleted {}", run.hash))?;
    }
    Ok(End::Done)
}

/// Deletes what nobody needs.
pub fn collect(args: &GcArgs) -> Result<End> {
    let store = existing(&args.store)?;
    let garbage = store.garbage(args.runs)?;
    for garbage in &garbage {
        if !args.dry_run {
            store.discard(garbage)?;
        }
        if !args.json {
            ui::data(&format!("{}: {}", garbage.path.display(), garbage.why))?;
        }
    }
    if args.json {
        ui::data(&serde_json::to_string_pretty(&garbage).expect("a list is plain data"))?;
    } else {
        ui::data(&total(&garbage, args.dry_run))?;
    }
    Ok(End::Done)
}

fn existing(store: &Path) -> Result<Store> {
    if store.is_dir() {
        return Ok(Store::open(store)?);
    }
    let help = "--store names another folder";
    Err(Trouble::data(format!("there is no store {}", store.display()), Some(help)).into())
}

fn total(garbage: &[Garbage], dry_run: bool) -> String {
    let bytes: u64 = garbage.iter().map(|garbage| garbage.bytes).sum();
    let verb = if dry_run { "would be deleted" } else { "deleted" };
    format!("{} {verb}, {:.1} MB", garbage.len(), bytes as f64 / 1e6)
}
