//! Runs a plan. An [`Executor`] gets a whole plan, so that it can also be one that submits to a cluster's queue;
//! [`Local`] runs several tasks in parallel on this machine. Only the [`Worker`] knows what a task is and how to run
//! it.

use super::panics::caught;
use super::plan::{Plan, Planned};
use super::pool::on_a_pool;
use super::task::Task;
use crate::training::Observer;
use crate::{Classified, ErrorClass};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How a task of a plan ended; `E` is the worker's error.
#[derive(Debug)]
pub enum TaskEnd<E> {
    /// Its result is in the store.
    Done,
    /// Its loss is not finite: that is recorded as its result.
    NotFinite(String),
    /// It failed. What does not need it goes on.
    Failed(E),
    /// The worker panicked, and said this. What does not need the task goes on.
    Panicked(String),
    /// The task of this name, which it needs, has no network to give.
    Blocked(String),
    /// Stopped on request, or not begun because of that; the same plan goes on.
    Stopped,
}

/// Who watches a plan being carried out.
pub trait Watch<E>: Sync {
    /// A task begins: who watches it.
    fn begin(&self, planned: &Planned) -> Box<dyn Observer + '_>;
    /// A task ended.
    fn end(&self, planned: &Planned, end: &TaskEnd<E>);
    /// Whether to stop.
    fn stop(&self) -> bool;
}

/// Where plans are carried out.
pub trait Executor {
    /// Why a task could not be carried out.
    type Error;

    /// Carries out what is not done yet; how each task ended, in the plan's order.
    fn execute(&self, plan: &Plan, watch: &dyn Watch<Self::Error>) -> Vec<TaskEnd<Self::Error>>;
}

/// How a worker's task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its result is in the store.
    Done,
    /// Stopped on request with its state saved.
    Stopped,
}

/// Who carries out single tasks.
pub trait Worker: Sync {
    /// Why a task could not be carried out.
    type Error: Classified;

    /// Carries out `task`, unless it is done.
    ///
    /// # Errors
    /// The worker's own. One of class [`ErrorClass::NotFinite`] is recorded in the store as the task's result.
    fn work(&self, task: &Task, observer: &mut dyn Observer) -> Result<Ended, Self::Error>;

    /// Whether another process is at work on the task with this hash: others are taken first.
    fn busy(&self, hash: &str) -> bool;
}

/// This machine.
pub struct Local<'a, W> {
    /// Who does the work.
    pub worker: &'a W,
    /// Tasks side by side, each with its share of the threads. Results do not depend on it.
    pub jobs: usize,
}

/// What the threads of [`Local`] share.
struct Schedule<E> {
    ends: Vec<Option<TaskEnd<E>>>,
    running: Vec<bool>,
}

/// What a free thread does next.
enum Next {
    Task(usize),
    Wait,
    Nothing,
}

impl<E> Schedule<E> {
    fn next(&mut self, plan: &Plan, stop: bool, busy: &dyn Fn(&str) -> bool) -> Next {
        self.settle(plan, stop);
        let open = |i: usize| self.ends[i].is_none() && !self.running[i];
        let met = |i: usize| plan.tasks[i].needs.iter().all(|&n| matches!(self.ends[n], Some(TaskEnd::Done)));
        let ready: Vec<usize> = (0..plan.tasks.len()).filter(|&i| open(i) && met(i)).collect();
        let free = ready.iter().copied().find(|&i| !busy(&plan.tasks[i].hash));
        match free.or(ready.first().copied()) {
            Some(task) => {
                self.running[task] = true;
                Next::Task(task)
            }
            None if self.running.contains(&true) => Next::Wait,
            None => Next::Nothing,
        }
    }

    /// Ends the tasks that cannot be begun any more.
    fn settle(&mut self, plan: &Plan, stop: bool) {
        for (i, planned) in plan.tasks.iter().enumerate() {
            if self.ends[i].is_some() || self.running[i] {
                continue;
            }
            let lost = planned.needs.iter().find_map(|&n| match &self.ends[n] {
                Some(TaskEnd::NotFinite(_) | TaskEnd::Failed(_) | TaskEnd::Panicked(_)) => {
                    Some(plan.tasks[n].name.clone())
                }
                Some(TaskEnd::Blocked(by)) => Some(by.clone()),
                _ => None,
            });
            if let Some(lost) = lost {
                self.ends[i] = Some(TaskEnd::Blocked(lost));
            } else if stop {
                self.ends[i] = Some(TaskEnd::Stopped);
            }
        }
    }
}

impl<W: Worker> Executor for Local<'_, W> {
    type Error = W::Error;

    fn execute(&self, plan: &Plan, watch: &dyn Watch<W::Error>) -> Vec<TaskEnd<W::Error>> {
        let count = plan.tasks.len();
        let jobs = self.jobs.clamp(1, count.max(1));
        let threads = (rayon::current_num_threads() / jobs).max(1);
        let schedule =
            Mutex::new(Schedule { ends: (0..count).map(|_| None).collect(), running: vec![false; count] });
        let changed = Condvar::new();
        let work = || {
            let mut guard = schedule.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                match guard.next(plan, watch.stop(), &|hash| self.worker.busy(hash)) {
                    Next::Nothing => break,
                    Next::Wait => {
                        let waited = changed.wait_timeout(guard, Duration::from_millis(200));
                        guard = waited.unwrap_or_else(PoisonError::into_inner).0;
                    }
                    Next::Task(i) => {
                        drop(guard);
                        let planned = &plan.tasks[i];
                        // Whatever panics, the others must not wait for this task for ever.
                        let end = caught(|| {
                            let end = self.one(planned, watch);
                            watch.end(planned, &end);
                            end
                        });
                        let end = end.unwrap_or_else(|message| {
                            let end = TaskEnd::Panicked(message);
                            let _ = caught(|| watch.end(planned, &end));
                            end
                        });
                        guard = schedule.lock().unwrap_or_else(PoisonError::into_inner);
                        guard.running[i] = false;
                        guard.ends[i] = Some(end);
                        changed.notify_all();
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| on_a_pool(threads, work));
            }
        });
        let ends = schedule.into_inner().unwrap_or_else(PoisonError::into_inner).ends;
        ends.into_iter().map(|end| end.unwrap_or(TaskEnd::Stopped)).collect()
    }
}

impl<W: Worker> Local<'_, W> {
    fn one(&self, planned: &Planned, watch: &dyn Watch<W::Error>) -> TaskEnd<W::Error> {
        let mut observer = watch.begin(planned);
        match self.worker.work(&planned.task, &mut *observer) {
            Ok(Ended::Done) => TaskEnd::Done,
            Ok(Ended::Stopped) => TaskEnd::Stopped,
            Err(error) => match error.class() {
                ErrorClass::NotFinite => TaskEnd::NotFinite(error.to_string()),
                ErrorClass::Stopped => TaskEnd::Stopped,
                ErrorClass::Usage | ErrorClass::Data | ErrorClass::Unavailable | ErrorClass::Bug => {
                    TaskEnd::Failed(error)
                }
            },
        }
    }
}

#[cfg(test)]
mod tests;
