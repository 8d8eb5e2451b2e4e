//! Runs a plan. [`Local`] runs several tasks in parallel on this machine, while other processes may work on the same plan: a pool of
//! workers is many [`Local`]s on one store. Only the [`Worker`] knows what a task is and how to run it.

use super::news::{News, NewsFiles};
use super::plan::{Plan, Planned};
use super::pool::on_a_pool;
use super::schedule::{Next, Order, Schedule, Terms};
use super::task::Task;
use super::task_end::{Ended, Look, TaskEnd};
use crate::panics::caught;
use crate::training::Observer;
use crate::{Classified, ErrorClass};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A wish to stop is noticed after so long.
const ATTENTION: Duration = Duration::from_millis(200);

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

/// Who carries out single tasks.
pub trait Worker: Sync {
    /// Why a task could not be carried out.
    type Error: Classified;

    /// What there is to see of the task with this hash.
    fn look(&self, hash: &str) -> Look;

    /// Carries out `task`, unless it is done. None: another process works on it.
    ///
    /// # Errors
    /// The worker's own. One of class [`ErrorClass::NotFinite`] is recorded in the store as the task's result.
    fn work(&self, task: &Task, observer: &mut dyn Observer) -> Result<Option<Ended>, Self::Error>;
}

/// This machine: it waits for tasks of other processes, and tries each task once.
pub struct Local<'a, W> {
    /// Who does the work.
    pub worker: &'a W,
    /// Tasks side by side, each with its share of the threads. Results do not depend on it.
    pub jobs: usize,
}

/// This machine as one of many that share a plan.
pub struct Shared<'a, W> {
    /// What it does.
    pub local: Local<'a, W>,
    /// How it gets on with the others.
    pub terms: Terms,
    /// What it tells them, and they tell it.
    pub news: &'a NewsFiles,
}

impl<W: Worker> Executor for Local<'_, W> {
    type Error = W::Error;

    fn execute(&self, plan: &Plan, watch: &dyn Watch<W::Error>) -> Vec<TaskEnd<W::Error>> {
        self.on_terms(plan, watch, Terms { patience: None, attempts: None }, None)
    }
}

impl<W: Worker> Executor for Shared<'_, W> {
    type Error = W::Error;

    fn execute(&self, plan: &Plan, watch: &dyn Watch<W::Error>) -> Vec<TaskEnd<W::Error>> {
        self.local.on_terms(plan, watch, self.terms, Some(self.news))
    }
}

impl<W: Worker> Local<'_, W> {
    fn on_terms(
        &self,
        plan: &Plan,
        watch: &dyn Watch<W::Error>,
        terms: Terms,
        news: Option<&NewsFiles>,
    ) -> Vec<TaskEnd<W::Error>> {
        let jobs = self.jobs.clamp(1, plan.tasks.len().max(1));
        let threads = (rayon::current_num_threads() / jobs).max(1);
        // No two processes draw the same tasks.
        let seed = RandomState::new().build_hasher().finish();
        let order = Order::of(plan);
        let schedule = Mutex::new(Schedule::new(&order, terms, news.is_some(), seed));
        let lock = || schedule.lock().unwrap_or_else(PoisonError::into_inner);
        let places: HashMap<&str, usize> =
            plan.tasks.iter().enumerate().map(|(i, planned)| (planned.hash.as_str(), i)).collect();
        // Whatever panics, the others must not wait for this task for ever.
        let look = |task: usize| caught(|| self.worker.look(&plan.tasks[task].hash)).unwrap_or(Look::Free);
        let tell = |task: usize, what: News| {
            if let Some(news) = news {
                news.tell(&plan.tasks[task].hash, what);
            }
        };
        let changed = Condvar::new();
        let begun = Instant::now();
        let work = || {
            loop {
                let mut guard = lock();
                let task = match guard.next(begun.elapsed(), watch.stop()) {
                    Next::Leave => break,
                    Next::Wait(pause) => {
                        // Not longer, for the wish to stop wakes nobody up.
                        drop(changed.wait_timeout(guard, pause.clamp(ATTENTION / 100, ATTENTION)));
                        continue;
                    }
                    Next::Hear => {
                        drop(guard);
                        let heard = news.map(NewsFiles::hear).unwrap_or_default();
                        let known = |(hash, what): (String, News)| Some((*places.get(hash.as_str())?, what));
                        lock().heard(heard.into_iter().filter_map(known));
                        continue;
                    }
                    Next::Try(task) => task,
                };
                drop(guard);
                let planned = &plan.tasks[task];
                let seen = look(task);
                if terms.attempts.is_none()
                    && let Some(end) = seen.end()
                {
                    let _ = caught(|| watch.end(planned, &end));
                }
                if seen == Look::Done {
                    // Otherwise it would have been heard.
                    tell(task, News::Done);
                }
                let mut guard = lock();
                if !guard.looked(task, seen, begun.elapsed()) {
                    continue;
                }
                let unseen = guard.unseen_needs(task);
                drop(guard);
                let (seen, missing): (Vec<usize>, Vec<usize>) =
                    unseen.into_iter().partition(|&need| look(need) == Look::Done);
                seen.into_iter().for_each(|need| lock().seen_done(need));
                if !missing.is_empty() {
                    if let Some(news) = news {
                        news.begin_anew();
                    }
                    lock().distrust(task);
                    continue;
                }
                tell(task, News::Taken);
                let end = self.one(planned, watch);
                match end {
                    Some(TaskEnd::Done) => tell(task, News::Done),
                    Some(_) => tell(task, News::Free),
                    None => {}
                }
                let failed = matches!(end, Some(TaskEnd::Failed(_)));
                let seen = failed.then(|| look(task));
                let (mut guard, now) = (lock(), begun.elapsed());
                match end {
                    Some(end) => guard.ended(task, end, seen.as_ref(), now),
                    None => guard.taken(task, now),
                }
                drop(guard);
                changed.notify_all();
            }
            changed.notify_all();
        };
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| on_a_pool(threads, work));
            }
        });
        schedule.into_inner().unwrap_or_else(PoisonError::into_inner).ends(watch.stop())
    }

    /// Carries out a task and tells of its end. None: another process has it.
    fn one(&self, planned: &Planned, watch: &dyn Watch<W::Error>) -> Option<TaskEnd<W::Error>> {
        let end = caught(|| {
            let end = self.end(planned, watch)?;
            watch.end(planned, &end);
            Some(end)
        });
        end.unwrap_or_else(|message| {
            let end = TaskEnd::Panicked(message);
            let _ = caught(|| watch.end(planned, &end));
            Some(end)
        })
    }

    /// Carries out a task. None: another process has it.
    fn end(&self, planned: &Planned, watch: &dyn Watch<W::Error>) -> Option<TaskEnd<W::Error>> {
        let mut observer = watch.begin(planned);
        Some(match self.worker.work(&planned.task, &mut *observer) {
            Ok(None) => return None,
            Ok(Some(Ended::Done)) => TaskEnd::Done,
            Ok(Some(Ended::Stopped)) => TaskEnd::Stopped,
            Err(error) => match error.class() {
                ErrorClass::NotFinite => TaskEnd::NotFinite(error.to_string()),
                ErrorClass::Stopped => TaskEnd::Stopped,
                ErrorClass::Usage | ErrorClass::Data | ErrorClass::Unavailable | ErrorClass::Bug => {
                    TaskEnd::Failed(error)
                }
            },
        })
    }
}

#[cfg(test)]
mod tests;
