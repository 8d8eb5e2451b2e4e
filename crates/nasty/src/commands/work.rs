//! `nasty work`.

use super::closing::Closing;
use super::experiment::{conclude, told};
use super::place::PlaceArgs;
use crate::failure::{End, Result, Trouble};
use crate::signals::Stop;
use crate::ui::{self, PlanWatcher, Watcher};
use clap::{Args, value_parser};
use nasty_teacher::lab::{
    Ended, Executor, Local, NewsFiles, Plan, Planned, Shared, Store, TaskEnd, Terms, Workplace,
};
use std::time::Duration;

/// A task of a pool that failed so often is given up.
const ATTEMPTS: u32 = 3;

/// Arguments of `nasty work`.
#[derive(Args)]
pub struct WorkArgs {
    /// One task only: its hash, or its first digits [default: all tasks of the store's plans]
    #[arg(value_name = "HASH", conflicts_with_all = ["plan", "jobs", "until_idle", "same_numerics", "retry"])]
    task: Option<String>,
    /// The plan to work on: an experiment that was started in this store, or a plan's file [default: all of the store]
    #[arg(long, value_name = "EXPERIMENT|FILE")]
    plan: Option<String>,
    /// Number of tasks to run in parallel; results do not depend on it
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    jobs: u16,
    /// End after so many seconds without work, once other workers carry out all that is left
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    until_idle: u64,
    /// Refuse to work if this machine rounds otherwise than the plan's first worker
    #[arg(long)]
    same_numerics: bool,
    /// Try tasks again that failed three times
    #[arg(long)]
    retry: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Carries out tasks of a store. What comes of them, results or failures, stands in the store alone.
pub fn run(args: &WorkArgs, stop: &Stop) -> Result<End> {
    match &args.task {
        Some(task) => one(args, task, stop),
        None => pool(args, stop),
    }
}

/// Carries out one task.
fn one(args: &WorkArgs, task: &str, stop: &Stop) -> Result<End> {
    let quiet = args.place.machine.quiet;
    let task = Store::look(&args.place.store).task(task)?;
    let workplace = args.place.open()?;
    let name = format!("{} {}", task.kind(), task.hash());
    let mut watcher = Watcher::new(&name, task.length(), quiet, stop.clone());
    let end = workplace.perform(&task, &mut watcher);
    watcher.finish();
    match end? {
        Ended::Done => Ok(End::Done),
        Ended::Stopped => {
            ui::say(quiet, "stopped; the state is saved, the same command resumes");
            Ok(End::Stopped)
        }
    }
}

/// Carries out tasks of plans, together with other workers.
fn pool(args: &WorkArgs, stop: &Stop) -> Result<End> {
    let quiet = args.place.machine.quiet;
    let plans = Store::look(&args.place.store).plans(args.plan.as_deref())?;
    let workplace = args.place.open()?;
    if args.same_numerics {
        for kept in &plans {
            agree(&workplace, &kept.name)?;
        }
    }
    let tasks = plans.iter().flat_map(|kept| &kept.plan.tasks);
    let plan = Plan::sorted(tasks.map(|planned| (planned.name.clone(), planned.task.clone(), planned.cost)));
    let terms = Terms {
        patience: Some(Duration::from_secs(args.until_idle)),
        attempts: (!args.retry).then_some(ATTEMPTS),
    };
    let told = |planned: &Planned| told(&workplace, planned);
    let watcher = PlanWatcher::new(plan.tasks.len(), quiet, stop.clone(), &told);
    let news = NewsFiles::new(&workplace.store, &plans);
    if args.retry {
        news.begin_anew();
    }
    let (ends, closed) = loop {
        let local = Local { worker: &workplace, jobs: args.jobs.into() };
        let ends = Shared { local, terms, news: &news }.execute(&plan, &watcher);
        let closed: Vec<Result<bool>> = {
            let by_hash = plan.tasks.iter().map(|planned| planned.hash.clone()).zip(&ends).collect();
            let closing = Closing { workplace: &workplace, news: &news, ends: &by_hash, stop };
            plans.iter().map(|kept| closing.close(kept)).collect()
        };
        if closed.iter().all(|closed| !matches!(closed, Ok(false))) {
            break (ends, closed.into_iter().collect::<Result<Vec<bool>>>());
        }
    };
    watcher.finish();
    let left = ends.iter().filter(|end| matches!(end, TaskEnd::Left)).count();
    if left > 0 {
        ui::say(quiet, &format!("{left} tasks are left to other workers"));
    }
    let end = conclude(&plan, ends, quiet)?;
    closed.map(|_| end)
}

/// Checks that this machine rounds as the first worker of the plan `name` did.
fn agree(workplace: &Workplace, name: &str) -> Result<()> {
    let here = workplace.numerics();
    let agreed = workplace.store.agree(name, &here)?;
    if agreed == here {
        return Ok(());
    }
    let message = format!("the workers of {name} agreed on {agreed}, but this machine has {here}");
    let help =
        "use machines of one kind (with Slurm: --constraint), or set NASTY_KERNELS to what all of them have";
    Err(Trouble::usage(message, Some(help)).into())
}
