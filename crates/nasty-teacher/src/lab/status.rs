//! How far plans have got, as the store alone tells it.

use super::claim::Holder;
use super::plan_file::KeptPlan;
use super::run::Run;
use super::store::Store;
use crate::ErrorClass;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

/// After so many seconds without renewal a lease is void for others.
const SILENT: u64 = 300;

/// A plan and the state of its tasks.
#[derive(Clone, Debug, Serialize)]
pub struct PlanStatus {
    /// The plan's name.
    pub plan: String,
    /// Its tasks, in its order.
    pub tasks: Vec<TaskStatus>,
    /// About how many hours of work are left, if one worker did it all; none as long as nothing of it is done.
    pub hours_left: Option<f64>,
}

/// A task of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct TaskStatus {
    /// Its name.
    pub name: String,
    /// Its hash.
    pub hash: String,
    /// Where it stands.
    #[serde(flatten)]
    pub state: TaskState,
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum TaskState {
    /// It has a result.
    Done {
        /// Share of the test images that the network got right; none for what is no network.
        accuracy: Option<f64>,
        /// Seconds of work.
        seconds: Option<f64>,
    },
    /// Its loss is not finite: that is its result.
    NotFinite {
        /// What happened.
        message: String,
    },
    /// A process works on it.
    Running {
        /// Which one.
        holder: Holder,
        /// How far it is.
        #[serde(flatten)]
        course: Progress,
    },
    /// The last try failed, and nobody works on it.
    Failed {
        /// Tries that failed.
        attempts: u32,
        /// How the last one did.
        message: String,
    },
    /// It was begun, and nobody works on it; it goes on where it stopped.
    Stopped {
        /// How far it is.
        #[serde(flatten)]
        course: Progress,
    },
    /// What it needs is there.
    Ready,
    /// It waits for other tasks of the plan.
    Waiting {
        /// Their names.
        needs: Vec<String>,
    },
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// Finished epochs.
    pub epoch: usize,
    /// Of so many.
    pub epochs: usize,
    /// About how many hours are left, by the epochs so far.
    pub hours_left: Option<f64>,
}

/// How many tasks are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// With a result, also if that is that a loss is not finite.
    pub done: usize,
    /// Being worked on.
    pub running: usize,
    /// Failed, with nobody at work on them.
    pub failed: usize,
    /// Begun, with nobody at work on them.
    pub stopped: usize,
    /// Not begun, and free.
    pub ready: usize,
    /// Not begun, and waiting for others.
    pub waiting: usize,
}

impl PlanStatus {
    /// How many tasks are in which state.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for task in &self.tasks {
            *match task.state {
                TaskState::Done { .. } | TaskState::NotFinite { .. } => &mut counts.done,
                TaskState::Running { .. } => &mut counts.running,
                TaskState::Failed { .. } => &mut counts.failed,
                TaskState::Stopped { .. } => &mut counts.stopped,
                TaskState::Ready => &mut counts.ready,
                TaskState::Waiting { .. } => &mut counts.waiting,
            } += 1;
        }
        counts
    }
}

impl Holder {
    /// Whether it has not renewed its lease for so long that others may take the run over: it was probably killed.
    pub fn is_silent(&self) -> bool {
        self.silent >= SILENT
    }
}

impl Store {
    /// Where the tasks of `kept` stand.
    pub fn status(&self, kept: &KeptPlan) -> PlanStatus {
        let plan = &kept.plan;
        let states: Vec<TaskState> =
            plan.tasks.iter().map(|planned| state(&self.run(&planned.hash), planned.task.length())).collect();
        let is_done = |&need: &usize| matches!(states[need], TaskState::Done { .. });
        let needs = |task: usize| -> Vec<String> {
            let missing = plan.tasks[task].needs.iter().filter(|need| !is_done(need));
            missing.map(|&need| plan.tasks[need].name.clone()).collect()
        };
        let waits = |(task, state): (usize, TaskState)| match state {
            TaskState::Ready if !needs(task).is_empty() => TaskState::Waiting { needs: needs(task) },
            other => other,
        };
        // What the finished tasks took says how fast the rest will go.
        let (mut cost, mut took, mut rest) = (0.0, 0.0, 0.0);
        for (planned, state) in plan.tasks.iter().zip(&states) {
            match state {
                TaskState::Done { seconds, .. } => {
                    cost += planned.cost;
                    took += seconds.unwrap_or(0.0);
                }
                TaskState::NotFinite { .. } => {}
                TaskState::Running { course, .. } | TaskState::Stopped { course } => {
                    rest += planned.cost * (1.0 - course.epoch as f64 / course.epochs.max(1) as f64);
                }
                TaskState::Failed { .. } | TaskState::Ready | TaskState::Waiting { .. } => {
                    rest += planned.cost;
                }
            }
        }
        let hours_left = (cost > 0.0 && took > 0.0).then(|| rest * took / cost / 3600.0);
        let states: Vec<TaskState> = states.iter().cloned().enumerate().map(waits).collect();
        let task = |(planned, state): (&super::plan::Planned, TaskState)| TaskStatus {
            name: planned.name.clone(),
            hash: planned.hash.clone(),
            state,
        };
        PlanStatus {
            plan: kept.name.clone(),
            tasks: plan.tasks.iter().zip(states).map(task).collect(),
            hours_left,
        }
    }

    /// The names that experiments have for runs, by hash.
    pub(super) fn task_names(&self) -> HashMap<String, String> {
        let records = self.records().unwrap_or_default();
        records.into_iter().flat_map(|record| record.tasks).collect()
    }
}

/// Where the task of `run` stands, which has `epochs` epochs, without a look at what it needs.
fn state(run: &Run, epochs: usize) -> TaskState {
    if let Ok(Some(result)) = run.other_result::<Value>() {
        let accuracy = result.pointer("/test/accuracy").and_then(Value::as_f64);
        return TaskState::Done { accuracy, seconds: result["seconds"].as_f64() };
    }
    let course = || {
        let rows = run.rows().unwrap_or_default();
        let last = rows.last();
        let epoch = last.map_or(0, |row| row.epoch + 1).min(epochs);
        let left = last.map(|row| row.seconds / (row.epoch + 1) as f64 * (epochs - epoch) as f64 / 3600.0);
        Progress { epoch, epochs, hours_left: left }
    };
    let holder = run.holder();
    if let Some(holder) = holder {
        return TaskState::Running { holder, course: course() };
    }
    match run.last_failure() {
        Ok(Some(failure)) if failure.class == ErrorClass::NotFinite => {
            TaskState::NotFinite { message: failure.error().to_string() }
        }
        Ok(Some(failure)) => TaskState::Failed { attempts: failure.attempts, message: failure.message },
        // A failure that cannot be read is said to be one.
        Err(error) => TaskState::Failed { attempts: 1, message: error.to_string() },
        Ok(None) if run.state_file().is_file() => TaskState::Stopped { course: course() },
        Ok(None) => TaskState::Ready,
    }
}
