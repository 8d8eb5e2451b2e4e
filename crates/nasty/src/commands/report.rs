//! `nasty report`.

use crate::failure::{CommandError, End, Result, Trouble};
use crate::ui;
use clap::Args;
use nasty_teacher::lab::{Findings, Record, Store};
use nasty_teacher::report::experiment as report;
use std::path::{Path, PathBuf};

/// Arguments of `nasty report`.
#[derive(Args)]
pub struct ReportArgs {
    /// A folder of runs, or an experiment's name
    #[arg(value_name = "STORE|EXPERIMENT")]
    what: String,
    /// Folder for index.html, report.json, the figures and the tables
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Folder of the runs, where an experiment is named [default: runs]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Print report.json
    #[arg(long)]
    json: bool,
}

/// Writes a report of everything that was run in a store, single runs too, or of one experiment.
pub fn run(args: &ReportArgs) -> Result<End> {
    let given = Path::new(&args.what);
    let is_store = given.is_dir();
    let folder = match &args.store {
        Some(store) if is_store => {
            let message = format!(
                "{} is a folder of runs itself; --store names {} as well",
                args.what,
                store.display()
            );
            return Err(Trouble::usage(message, Some("give one of them")).into());
        }
        _ if is_store => given,
        Some(store) => store,
        None => Path::new("runs"),
    };
    if !folder.is_dir() {
        let message =
            format!("{} is no folder, and there is no folder of runs {}", args.what, folder.display());
        return Err(no_experiment(message));
    }
    let store = Store::look(folder);
    let wanted = |record: &Record| is_store || record.name == args.what;
    let all = store.records()?;
    let singles = if is_store { store.single_runs(&all)? } else { Vec::new() };
    let records: Vec<Record> = all.into_iter().filter(wanted).collect();
    if records.is_empty() && singles.is_empty() {
        let which = if is_store { "nothing".to_owned() } else { format!("no experiment `{}`", args.what) };
        return Err(no_experiment(format!("{which} was completed in {}", folder.display())));
    }
    let findings: Vec<Findings> =
        records.into_iter().map(|record| store.findings(record)).collect::<std::result::Result<_, _>>()?;
    let written = report::write_store(&findings, &singles, &args.out)?;
    if args.json {
        ui::data(written.json.trim_end())?;
    } else {
        ui::data(&format!("report   {}", written.page.display()))?;
    }
    Ok(End::Done)
}

fn no_experiment(message: String) -> CommandError {
    Trouble::usage(message, Some("`nasty run NAME` runs one; `nasty experiments` lists them")).into()
}
