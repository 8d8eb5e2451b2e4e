//! `nasty run`.

use super::place::PlaceArgs;
use crate::failure::{End, show};
use crate::signals::Stop;
use crate::ui::{self, PlanWatcher};
use clap::{Args, value_parser};
use miette::{Report, Result};
use nasty_teacher::lab::experiment::Experiment;
use nasty_teacher::lab::{Executor, Local, Plan, Planned, Record, TaskEnd, Workplace};
use nasty_teacher::report::experiment::{Written, write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Arguments of `nasty run`.
#[derive(Args)]
pub struct RunArgs {
    /// An experiment of `nasty experiments`, or a file like them
    #[arg(value_name = "EXPERIMENT")]
    experiment: String,
    /// Differences from its file, such as scale=paper seeds=[0,1,2] teacher.omega=0.01 recipe.epochs=3
    #[arg(value_name = "KEY=VALUE")]
    changes: Vec<String>,
    /// Tasks side by side; results do not depend on it
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    jobs: u16,
    /// Show the tasks as a tree with what is already done, and stop
    #[arg(long)]
    dry_run: bool,
    /// Print the resolved experiment, itself an experiment file, and stop
    #[arg(long)]
    print_config: bool,
    /// Ask frozen networks again each time, to see what keeping their logits saves; results are the same
    #[arg(long)]
    no_logit_cache: bool,
    /// Folder for the report [default: a folder of the experiment's in STORE/reports]
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Carries out an experiment and writes its report.
pub fn run(args: &RunArgs, stop: &Stop) -> Result<End> {
    let quiet = args.place.machine.quiet;
    let begun = Instant::now();
    let experiment = Experiment::find(&args.experiment, &args.changes)?;
    if args.print_config {
        ui::data(experiment.to_toml().trim_end());
        return Ok(End::Done);
    }
    let mut workplace = args.place.machine.open(&args.place.store)?;
    workplace.keep_logits = !args.no_logit_cache;
    let resolved = experiment.resolve(&mut |name, side| workplace.facts(name, side))?;
    let plan = Plan::new(resolved.tasks.clone());
    if args.dry_run {
        ui::data(plan.tree(&|planned| workplace.store.run(&planned.hash).state()).trim_end());
        return Ok(End::Done);
    }
    let record = Record::new(&experiment, &resolved, &args.experiment, &args.changes);
    workplace.store.keep(&record)?;

    let told = |planned: &Planned| told(&workplace, planned);
    let watcher = PlanWatcher::new(plan.tasks.len(), quiet, stop.clone(), &told);
    let ends = Local { worker: &workplace, jobs: args.jobs.into() }.execute(&plan, &watcher);
    watcher.finish();

    let usual = || args.place.store.join("reports").join(record.report_name());
    let folder = args.out.clone().unwrap_or_else(usual);
    let report = report(&workplace, record, &folder);
    if let Ok(written) = &report {
        ui::data(&written.text);
        ui::data(&format!("report   {}", written.page.display()));
    }
    ui::say(quiet, &format!("{:.0} s in all", begun.elapsed().as_secs_f64()));
    // What went wrong with a task matters more than a report that could not be written for the same reason.
    let end = conclude(&plan, ends, quiet)?;
    report.map(|_| end)
}

fn report(workplace: &Workplace, record: Record, folder: &Path) -> Result<Written> {
    Ok(write(&[workplace.store.findings(record)?], folder)?)
}

/// What a task that just ended is said to have given.
pub fn told(workplace: &Workplace, planned: &Planned) -> String {
    let result = workplace.store.run(&planned.hash).result();
    let Ok(Some(result)) = result else { return String::new() };
    format!("{:>6.2} %  {:>7.1} s", 100.0 * result.test.accuracy, result.seconds)
}

/// The end of all: a failure before a stop before done. What failed was told when it did; the first one decides the exit
/// code.
pub fn conclude(plan: &Plan, ends: Vec<TaskEnd>, quiet: bool) -> Result<End> {
    let stopped = ends.iter().any(|end| matches!(end, TaskEnd::Stopped));
    let mut failures = ends.into_iter().zip(&plan.tasks).filter_map(|(end, planned)| match end {
        TaskEnd::Failed(error) => Some((planned, error)),
        _ => None,
    });
    if let Some((_, first)) = failures.next() {
        for (_, other) in failures {
            show(&Report::new(other));
        }
        return Err(first.into());
    }
    if stopped {
        ui::say(quiet, "stopped; all states are saved, the same command goes on from there");
        return Ok(End::Stopped);
    }
    Ok(End::Done)
}
