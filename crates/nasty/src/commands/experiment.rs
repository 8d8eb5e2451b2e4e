//! `nasty run`.

use super::place::PlaceArgs;
use crate::failure::{CommandError, End, Result, Trouble};
use crate::signals::Stop;
use crate::ui::{self, PlanWatcher};
use clap::{Args, value_parser};
use nasty_teacher::ErrorClass;
use nasty_teacher::data::DataName;
use nasty_teacher::lab::experiment::{Experiment, ExperimentError};
use nasty_teacher::lab::{Executor, JobError, Local, Plan, Planned, Record, TaskEnd, Workplace, price};
use nasty_teacher::report::experiment::{Written, write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Arguments of `nasty run`.
#[derive(Args)]
pub struct RunArgs {
    /// An experiment listed by `nasty experiments`, or an experiment file
    #[arg(value_name = "EXPERIMENT")]
    experiment: String,
    /// Changes to its file, such as scale=paper 'seeds=[0,1,2]' teacher.omega=0.01 recipe.epochs=3
    #[arg(value_name = "KEY=VALUE")]
    changes: Vec<String>,
    /// Number of tasks to run in parallel; results do not depend on it
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    jobs: u16,
    /// Show the tasks as a tree with what is already done, and stop
    #[arg(long)]
    dry_run: bool,
    /// Write the plan for `nasty work`, and stop
    #[arg(long, conflicts_with_all = ["dry_run", "print_config"])]
    plan_only: bool,
    /// Print the resolved experiment, itself an experiment file, and stop
    #[arg(long)]
    print_config: bool,
    /// Compute the logits of frozen networks anew each time instead of caching them; results are the same
    #[arg(long)]
    no_logit_cache: bool,
    /// Folder for the report [default: a folder for this experiment in STORE/reports]
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Carries out an experiment and writes its report.
pub fn run(args: &RunArgs, stop: &Stop) -> Result<End> {
    let quiet = args.place.machine.quiet;
    let begun = Instant::now();
    let experiment = Experiment::find(&args.experiment, &args.changes).map_err(hinted)?;
    if args.print_config {
        ui::data(experiment.to_toml().trim_end())?;
        return Ok(End::Done);
    }
    let mut workplace = if args.dry_run { args.place.look()? } else { args.place.open()? };
    workplace.keep_logits = !args.no_logit_cache;
    let resolved = experiment.resolve(&mut |name, side| workplace.facts(name, side))?;
    let mut plan = Plan::new(resolved.tasks.clone());
    if args.dry_run {
        let numerics = workplace.numerics();
        let state = |planned: &Planned| workplace.store.run(&planned.hash).state_on(&numerics);
        ui::data(plan.tree(&state).trim_end())?;
        return Ok(End::Done);
    }
    let facts = |name: &DataName| resolved.data.get(&name.to_string()).cloned();
    price(&mut plan, &facts, &workplace.device, None)?;
    let record = Record::new(&experiment, &resolved, &args.experiment, &args.changes);
    keep(&workplace, &record, &plan)?;
    if args.plan_only {
        let store = args.place.store.display();
        return ui::data(&format!("{} tasks in the store {store}", plan.tasks.len())).map(|()| End::Done);
    }

    let told = |planned: &Planned| told(&workplace, planned);
    let watcher = PlanWatcher::new(plan.tasks.len(), quiet, stop.clone(), &told);
    let ends = Local { worker: &workplace, jobs: args.jobs.into() }.execute(&plan, &watcher);
    watcher.finish();

    let usual = || args.place.store.join("reports").join(record.report_name());
    let folder = args.out.clone().unwrap_or_else(usual);
    let report = report(&workplace, record, &folder);
    let shown = report.and_then(|written| {
        ui::data(&written.text)?;
        ui::data(&format!("report   {}", written.page.display()))
    });
    ui::say(quiet, &format!("{:.0} s in all", begun.elapsed().as_secs_f64()));
    // What went wrong with a task matters more than a report that could not be written for the same reason.
    let end = conclude(&plan, ends, quiet)?;
    shown.map(|()| end)
}

/// Writes an experiment's record, tasks and plan into the store, so that workers can carry it out.
pub fn keep(workplace: &Workplace, record: &Record, plan: &Plan) -> Result<()> {
    workplace.store.keep(record)?;
    workplace.store.write_tasks(plan)?;
    Ok(workplace.store.write_plan(record.file_name().trim_end_matches(".json"), plan)?)
}

/// Writes the report of `record` into `folder`.
pub fn report(workplace: &Workplace, record: Record, folder: &Path) -> Result<Written> {
    Ok(write(&[workplace.store.findings(record)?], folder)?)
}

/// What a task that just ended is said to have given.
pub fn told(workplace: &Workplace, planned: &Planned) -> String {
    let result = workplace.store.run(&planned.hash).result();
    let Ok(Some(result)) = result else { return String::new() };
    format!("{:>6.2} %  {:>7.1} s", 100.0 * result.test.accuracy, result.seconds)
}

/// The end of all: a failure before a stop before done. What failed was told when it did; a bug decides the exit code, or else
/// the first failure.
pub fn conclude(plan: &Plan, ends: Vec<TaskEnd<JobError>>, quiet: bool) -> Result<End> {
    let stopped = ends.iter().any(|end| matches!(end, TaskEnd::Stopped));
    let mut failures: Vec<CommandError> = ends
        .into_iter()
        .zip(&plan.tasks)
        .filter_map(|(end, planned)| match end {
            TaskEnd::Failed(error) => Some(error.into()),
            TaskEnd::Panicked(message) => {
                Some(Trouble::bug(format!("a bug stopped {}: {message}", planned.name), None).into())
            }
            TaskEnd::GivenUp(why) => {
                let message = format!("{} failed too often: {why}", planned.name);
                Some(Trouble::data(message, Some("`nasty work --retry` tries it again")).into())
            }
            TaskEnd::Done
            | TaskEnd::NotFinite(_)
            | TaskEnd::Blocked(_)
            | TaskEnd::Stopped
            | TaskEnd::Left => None,
        })
        .collect();
    if !failures.is_empty() {
        let first = failures.iter().position(|failure| failure.class() == ErrorClass::Bug).unwrap_or(0);
        let first = failures.remove(first);
        for other in failures {
            other.show();
        }
        return Err(first);
    }
    if stopped {
        ui::say(quiet, "stopped; all states are saved, the same command resumes");
        return Ok(End::Stopped);
    }
    Ok(End::Done)
}

/// What to type, where a key is unknown.
pub fn hinted(error: ExperimentError) -> CommandError {
    let keys = matches!(error, ExperimentError::Key { .. });
    CommandError::hinted(error, keys.then_some("--print-config shows the keys in use"))
}
