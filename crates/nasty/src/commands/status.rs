//! `nasty status`.

use crate::failure::{End, Result, STOPPED};
use crate::signals::Stop;
use crate::ui;
use clap::{Args, value_parser};
use nasty_teacher::lab::{Counts, Holder, PlanStatus, Progress, Store, TaskState};
use nasty_teacher::report::{Cell, Column, Table};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The exit code where tasks failed and nobody is at work on them.
const FAILED: u8 = 3;

/// Arguments of `nasty status`.
#[derive(Args)]
pub struct StatusArgs {
    /// An experiment that was started in this store, or a plan's file [default: all of the store]
    #[arg(value_name = "EXPERIMENT|FILE")]
    plan: Option<String>,
    /// Folder of the runs
    #[arg(long, default_value = "runs", value_name = "DIR")]
    store: PathBuf,
    /// Show every task, also those that are done or wait
    #[arg(long)]
    all: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
    /// Show it again every so many seconds until all is finished
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "30", value_parser = value_parser!(u64).range(1..))]
    watch: Option<u64>,
}

/// Shows how far plans have got. Exit codes: 0 all done, 3 something failed and nobody is at work on it, 75 not finished.
pub fn run(args: &StatusArgs, stop: &Stop) -> Result<End> {
    let store = Store::look(&args.store);
    loop {
        let plans = store.plans(args.plan.as_deref())?;
        let statuses: Vec<PlanStatus> = plans.iter().map(|kept| store.status(kept)).collect();
        if args.json {
            ui::data(&serde_json::to_string_pretty(&statuses).expect("a status is plain data"))?;
        } else {
            for status in &statuses {
                ui::data(&text(status, args.all))?;
            }
        }
        let end = end(&statuses);
        let Some(pause) = args.watch.filter(|_| end != End::Done) else { return Ok(end) };
        let shown = Instant::now();
        while shown.elapsed() < Duration::from_secs(pause) {
            if stop.requested() {
                return Ok(end);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn end(statuses: &[PlanStatus]) -> End {
    let counts: Vec<Counts> = statuses.iter().map(PlanStatus::counts).collect();
    if counts.iter().any(|counts| counts.failed > 0) {
        End::Decided(FAILED)
    } else if statuses.iter().zip(&counts).all(|(status, counts)| counts.done == status.tasks.len()) {
        End::Done
    } else {
        End::Decided(STOPPED)
    }
}

fn text(status: &PlanStatus, all: bool) -> String {
    let Counts { done, running, failed, stopped, ready, waiting } = status.counts();
    let mut title = format!("{}: {done} of {} tasks done", status.plan, status.tasks.len());
    let others = [
        (running, "running"),
        (stopped, "stopped"),
        (failed, "failed"),
        (ready, "ready"),
        (waiting, "waiting"),
    ];
    for (count, word) in others.into_iter().filter(|(count, _)| *count > 0) {
        title += &format!(", {count} {word}");
    }
    if let Some(hours) = status.hours_left.filter(|_| done < status.tasks.len()) {
        title += &format!("; about {} of work left for one worker", spent((hours * 3600.0) as u64));
    }
    let shown = |state: &TaskState| {
        all || !matches!(
            state,
            TaskState::Done { .. }
                | TaskState::NotFinite { .. }
                | TaskState::Ready
                | TaskState::Waiting { .. }
        )
    };
    let rows: Vec<Vec<Cell>> = status
        .tasks
        .iter()
        .filter(|task| shown(&task.state))
        .map(|task| {
            let (word, rest) = words(&task.state);
            vec![
                Cell::text(&*task.name),
                Cell::text(task.hash.chars().take(8).collect::<String>()),
                Cell::text(word),
                Cell::text(rest),
            ]
        })
        .collect();
    if rows.is_empty() {
        return title;
    }
    let columns = ["task", "run", "state", ""].map(Column::text).into();
    let table = Table { title, columns, rows, ..Table::default() };
    table.to_text().trim_end().to_owned()
}

/// The state in a word, and the rest.
fn words(state: &TaskState) -> (&'static str, String) {
    match state {
        TaskState::Done { accuracy, seconds } => {
            let accuracy = accuracy.map(|share| format!("{:.2} %", 100.0 * share));
            let seconds = seconds.map(|seconds| format!("{seconds:.0} s"));
            ("done", [accuracy, seconds].into_iter().flatten().collect::<Vec<_>>().join(", "))
        }
        TaskState::NotFinite { message } => ("not finite", message.clone()),
        TaskState::Running { holder, course } => {
            let word = if holder.is_silent() { "silent" } else { "running" };
            (word, format!("{}{}", of(course), by(holder)))
        }
        TaskState::Failed { attempts, message } => ("failed", format!("{attempts} times: {message}")),
        TaskState::Stopped { course } => ("stopped", of(course)),
        TaskState::Ready => ("ready", String::new()),
        TaskState::Waiting { needs } => ("waiting", format!("for {}", needs.join(", "))),
    }
}

fn of(course: &Progress) -> String {
    let left =
        course.hours_left.map_or(String::new(), |hours| format!(", {} left", spent((hours * 3600.0) as u64)));
    format!("epoch {}/{}{left}", course.epoch, course.epochs)
}

fn by(holder: &Holder) -> String {
    let job = holder.job.as_ref().map_or(String::new(), |job| format!(", job {job}"));
    let since = std::time::UNIX_EPOCH + Duration::from_secs(holder.since.unwrap_or_default());
    let since = std::time::SystemTime::now().duration_since(since).ok().filter(|_| holder.since.is_some());
    let since = since.map_or(String::new(), |since| format!(", for {}", spent(since.as_secs())));
    let silent = if holder.is_silent() {
        format!(", no sign of life for {}: probably killed", spent(holder.silent))
    } else {
        String::new()
    };
    format!(", on {}{job}, process {}{since}{silent}", holder.host, holder.process)
}

fn spent(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}
