//! `nasty run`.

use super::place::{PlaceArgs, in_words, seconds_left};
use crate::failure::{CommandError, End, Result, Trouble};
use crate::signals::Stop;
use crate::ui::{self, PlanWatcher};
use clap::{Args, value_parser};
use nasty_teacher::ErrorClass;
use nasty_teacher::data::DataName;
use nasty_teacher::lab::experiment::{Experiment, ExperimentError, Scale};
use nasty_teacher::lab::{Executor, JobError, Local, Plan, Planned, Record, Task, TaskEnd, Workplace, price};
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
    /// paper, short or small: the same as scale=NAME [default: small]
    #[arg(long, value_name = "NAME")]
    scale: Option<Scale>,
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
    /// Print report.json, or with --dry-run the tasks and the hours, as JSON
    #[arg(long)]
    json: bool,
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
    let scale = args.scale.iter().map(|scale| format!("scale={scale}"));
    let changes: Vec<String> = args.changes.iter().cloned().chain(scale).collect();
    let experiment = Experiment::find(&args.experiment, &changes).map_err(hinted)?;
    if args.print_config {
        ui::data(experiment.to_toml().trim_end())?;
        return Ok(End::Done);
    }
    let mut workplace = if args.dry_run { args.place.look()? } else { args.place.open()? };
    workplace.keep_logits = !args.no_logit_cache;
    let resolved = experiment.resolve(&mut |name, side| workplace.facts(name, side))?;
    let mut plan = Plan::new(resolved.tasks.clone());
    if args.dry_run {
        return dry_run(&plan, &workplace, args.json);
    }
    let facts = |name: &DataName| resolved.data.get(&name.to_string()).cloned();
    price(&mut plan, &facts, &workplace.device, None)?;
    let record = Record::new(&experiment, &resolved, &args.experiment, &changes);
    keep(&workplace, &record, &plan)?;
    if args.plan_only {
        let store = args.place.store.display();
        return ui::data(&format!("{} tasks in the store {store}", plan.tasks.len())).map(|()| End::Done);
    }
    if let Some(time) = in_words(seconds_left(&workplace, tasks_of(&plan))?, &workplace) {
        ui::say(quiet, &format!("to do: {time}"));
    }

    let told = |planned: &Planned| told(&workplace, planned);
    let watcher = PlanWatcher::new(plan.tasks.len(), quiet, stop.clone(), &told);
    let ends = Local { worker: &workplace, jobs: args.jobs.into() }.execute(&plan, &watcher);
    watcher.finish();
    let finished = |planned: &Planned| matches!(workplace.store.run(&planned.hash).result(), Ok(Some(_)));
    if ends.iter().any(|end| matches!(end, TaskEnd::Stopped)) && !plan.tasks.iter().any(finished) {
        return conclude(&plan, ends, quiet); // a report of empty tables helps nobody
    }

    let usual = || args.place.store.join("reports").join(record.report_name());
    let folder = args.out.clone().unwrap_or_else(usual);
    let report = report(&workplace, record, &folder);
    let shown = report.and_then(|written| {
        if args.json {
            return ui::data(written.json.trim_end());
        }
        ui::data(&written.text)?;
        ui::data(&format!("report   {}", written.page.display()))
    });
    ui::say(quiet, &format!("{:.0} s in all", begun.elapsed().as_secs_f64()));
    // What went wrong with a task matters more than a report that could not be written for the same reason.
    let end = conclude(&plan, ends, quiet)?;
    shown.map(|()| end)
}

fn tasks_of(plan: &Plan) -> impl Iterator<Item = &Task> + Clone {
    plan.tasks.iter().map(|planned| &planned.task)
}

/// Shows what would be done, and how long it takes.
fn dry_run(plan: &Plan, workplace: &Workplace, json: bool) -> Result<End> {
    let numerics = workplace.numerics();
    let state = |planned: &Planned| workplace.store.run(&planned.hash).state_on(&numerics);
    let seconds = seconds_left(workplace, tasks_of(plan))?;
    if json {
        let tasks = plan.tasks.iter().map(|planned| {
            let needs: Vec<&str> = planned.needs.iter().map(|&need| plan.tasks[need].hash.as_str()).collect();
            let Planned { name, hash, task, .. } = planned;
            serde_json::json!({
                "hash": hash, "name": name, "kind": task.kind(), "state": state(planned).word(), "needs": needs,
            })
        });
        let all = serde_json::json!({ "tasks": tasks.collect::<Vec<_>>(), "seconds_left": seconds.map(f64::round) });
        ui::data(&serde_json::to_string_pretty(&all).expect("plain data"))?;
        return Ok(End::Done);
    }
    ui::data(plan.tree(&state).trim_end())?;
    if let Some(time) = in_words(seconds, workplace) {
        ui::data(&format!("to do: {time}"))?;
    }
    Ok(End::Done)
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
            | TaskEnd::Told
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
            ui::show(&other);
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
