//! Carrying out a plan. An [`Executor`] gets a whole plan, so that one that hands it to a cluster's queue fits too;
//! [`Local`] is this machine, with several tasks side by side.

use super::job::JobError;
use super::plan::{Plan, Planned};
use super::task::Task;
use crate::training::{Observer, TrainError};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How a task of a plan ended.
#[derive(Debug)]
pub enum TaskEnd {
    /// Its result is in the store.
    Done,
    /// Its loss is not finite: that is recorded as its result.
    NotFinite(String),
    /// It failed. What does not need it goes on.
    Failed(JobError),
    /// The task of this name, which it needs, has no network to give.
    Blocked(String),
    /// Stopped on request, or not begun because of that; the same plan goes on.
    Stopped,
}

/// Who watches a plan being carried out.
pub trait Watch: Sync {
    /// A task begins: who watches it.
    fn begin(&self, planned: &Planned) -> Box<dyn Observer + '_>;
    /// A task ended.
    fn end(&self, planned: &Planned, end: &TaskEnd);
    /// Whether to stop.
    fn stop(&self) -> bool;
}

/// Where plans are carried out.
pub trait Executor {
    /// Carries out what is not done yet; how each task ended, in the plan's order.
    fn execute(&self, plan: &Plan, watch: &dyn Watch) -> Vec<TaskEnd>;
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
    /// Carries out `task`, unless it is done.
    ///
    /// # Errors
    /// [`JobError`]; a loss that is not finite is recorded in the store first.
    fn work(&self, task: &Task, observer: &mut dyn Observer) -> Result<Ended, JobError>;

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
struct Schedule {
    ends: Vec<Option<TaskEnd>>,
    running: Vec<bool>,
}

/// What a free thread does next.
enum Next {
    Task(usize),
    Wait,
    Nothing,
}

impl Schedule {
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
                Some(TaskEnd::NotFinite(_) | TaskEnd::Failed(_)) => Some(plan.tasks[n].name.clone()),
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

/// Does `work` on one of `threads` threads of a pool of its own, unless it is on a pool's already: of a training step's
/// many short parallel operations none has to wake that thread up. Not the process's pool, for the next batch is
/// rendered there meanwhile.
pub(super) fn on_a_pool<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    if rayon::current_thread_index().is_some() {
        return work();
    }
    // Stacks as large as the main thread's.
    match rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(8 << 20).build() {
        Ok(pool) => pool.install(work),
        // Without threads of its own it shares those of the process.
        Err(_) => work(),
    }
}

impl<W: Worker> Executor for Local<'_, W> {
    fn execute(&self, plan: &Plan, watch: &dyn Watch) -> Vec<TaskEnd> {
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
                        let end = self.one(planned, watch);
                        watch.end(planned, &end);
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
    fn one(&self, planned: &Planned, watch: &dyn Watch) -> TaskEnd {
        let mut observer = watch.begin(planned);
        match self.worker.work(&planned.task, &mut *observer) {
            Ok(Ended::Done) => TaskEnd::Done,
            Ok(Ended::Stopped) => TaskEnd::Stopped,
            Err(error @ JobError::Train(TrainError::NotFinite { .. })) => {
                TaskEnd::NotFinite(error.to_string())
            }
            Err(JobError::Store(super::StoreError::Stopped(_))) => TaskEnd::Stopped,
            Err(error) => TaskEnd::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataName;
    use crate::lab::defaults::{Kind, recipe};
    use crate::lab::plan::State;
    use crate::training::{EpochRow, NetworkRef};
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Does nothing, in the order asked; fails or "diverges" where told.
    #[derive(Default)]
    struct Fake {
        log: Mutex<Vec<String>>,
        running: AtomicUsize,
        most: AtomicUsize,
        fails: HashSet<String>,
        diverges: HashSet<String>,
        busy: HashSet<String>,
    }

    impl Worker for Fake {
        fn work(&self, task: &Task, observer: &mut dyn Observer) -> Result<Ended, JobError> {
            let hash = task.hash();
            let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
            self.running.fetch_sub(1, Ordering::SeqCst);
            if observer.stop() {
                return Ok(Ended::Stopped);
            }
            self.log.lock().expect("not poisoned").push(hash.clone());
            if self.fails.contains(&hash) {
                return Err(JobError::Recipe { recipe: hash, problem: "told to".into() });
            }
            if self.diverges.contains(&hash) {
                let advice = String::new();
                return Err(TrainError::NotFinite {
                    what: "loss".into(),
                    loss: f64::NAN,
                    epoch: 0,
                    step: 1,
                    recipe: hash,
                    advice,
                }
                .into());
            }
            Ok(Ended::Done)
        }

        fn busy(&self, hash: &str) -> bool {
            self.busy.contains(hash)
        }
    }

    /// Asks to stop once so many tasks ended.
    struct Watcher {
        ended: AtomicUsize,
        stop_after: usize,
    }

    struct Silent(bool);
    impl Observer for Silent {
        fn batch(&mut self, _: usize, _: usize, _: usize, _: f64) {}
        fn epoch(&mut self, _: &EpochRow, _: usize) {}
        fn stop(&self) -> bool {
            self.0
        }
    }

    impl Watch for Watcher {
        fn begin(&self, _: &Planned) -> Box<dyn Observer + '_> {
            Box::new(Silent(self.stop()))
        }
        fn end(&self, _: &Planned, _: &TaskEnd) {
            self.ended.fetch_add(1, Ordering::SeqCst);
        }
        fn stop(&self) -> bool {
            self.ended.load(Ordering::SeqCst) >= self.stop_after
        }
    }

    fn watcher(stop_after: usize) -> Watcher {
        Watcher { ended: AtomicUsize::new(0), stop_after }
    }

    /// Two seeds of: a normal teacher, a nasty one against it, and two students of each.
    fn plan() -> Plan {
        let mut tasks = Vec::new();
        for seed in 0..2 {
            let task = |kind: Kind, architecture: &str| {
                let made = recipe(DataName::Cifar10, "d".into(), architecture.parse().expect("a name"), kind);
                Task::Train(crate::training::Recipe { seed, ..made })
            };
            let normal = task(Kind::Train, "resnet18");
            let nasty = task(Kind::Undermine(NetworkRef(normal.hash())), "resnet18");
            let students = ["cnn", "preresnet20"].iter().flat_map(|a| {
                [("normal", &normal), ("nasty", &nasty)].map(|(name, t)| {
                    (format!("{a} from {name} #{seed}"), task(Kind::Distill(NetworkRef(t.hash())), a))
                })
            });
            let students: Vec<_> = students.collect();
            tasks.push((format!("normal #{seed}"), normal));
            tasks.push((format!("nasty #{seed}"), nasty));
            tasks.extend(students);
        }
        Plan::new(tasks)
    }

    fn execute(worker: &Fake, plan: &Plan, jobs: usize, stop_after: usize) -> Vec<TaskEnd> {
        Local { worker, jobs }.execute(plan, &watcher(stop_after))
    }

    fn hash(plan: &Plan, name: &str) -> String {
        plan.tasks.iter().find(|t| t.name == name).expect("a task of the plan").hash.clone()
    }

    #[test]
    fn every_task_runs_once_after_those_it_needs_whatever_the_jobs() {
        let plan = plan();
        for jobs in [1, 3, 50] {
            let worker = Fake::default();
            let ends = execute(&worker, &plan, jobs, usize::MAX);
            assert!(ends.iter().all(|e| matches!(e, TaskEnd::Done)), "{ends:?}");
            let log = worker.log.into_inner().expect("not poisoned");
            assert_eq!(log.len(), plan.tasks.len());
            for planned in &plan.tasks {
                let at = |hash: &str| log.iter().position(|h| h == hash).expect("it ran");
                assert!(planned.needs.iter().all(|&n| at(&plan.tasks[n].hash) < at(&planned.hash)));
            }
            let most = worker.most.into_inner();
            assert!(most <= jobs && (jobs == 1 || most > 1), "{most} side by side with --jobs {jobs}");
        }
    }

    #[test]
    fn a_failure_blocks_only_what_needs_it() {
        let plan = plan();
        let worker = Fake {
            fails: [hash(&plan, "normal #0")].into(),
            diverges: [hash(&plan, "nasty #1"), hash(&plan, "cnn from normal #1")].into(),
            ..Fake::default()
        };
        let ends = execute(&worker, &plan, 2, usize::MAX);
        let end = |name: &str| &ends[plan.tasks.iter().position(|t| t.name == name).expect("a task")];
        assert!(matches!(end("normal #0"), TaskEnd::Failed(_)));
        assert!(matches!(end("cnn from nasty #0"), TaskEnd::Blocked(by) if by == "normal #0"));
        assert!(matches!(end("nasty #1"), TaskEnd::NotFinite(_)));
        assert!(matches!(end("cnn from nasty #1"), TaskEnd::Blocked(by) if by == "nasty #1"));
        assert!(matches!(end("cnn from normal #1"), TaskEnd::NotFinite(_)));
        assert!(matches!(end("preresnet20 from normal #1"), TaskEnd::Done));
        assert_eq!(worker.log.into_inner().expect("not poisoned").len(), 5, "blocked tasks are not tried");
    }

    #[test]
    fn a_stop_begins_nothing_new_and_busy_tasks_wait() {
        let plan = plan();
        let worker = Fake { busy: [hash(&plan, "normal #0")].into(), ..Fake::default() };
        let ends = execute(&worker, &plan, 1, 3);
        let done = ends.iter().filter(|e| matches!(e, TaskEnd::Done)).count();
        assert_eq!((done, ends.iter().filter(|e| matches!(e, TaskEnd::Stopped)).count()), (3, 9));
        assert_eq!(worker.log.lock().expect("not poisoned")[0], hash(&plan, "normal #1"), "not the busy one");
    }

    #[test]
    fn another_executor_can_take_the_plan() {
        /// Notes what a queue would be given: each task with the tasks it waits for.
        struct Queue;
        impl Executor for Queue {
            fn execute(&self, plan: &Plan, watch: &dyn Watch) -> Vec<TaskEnd> {
                let submit = |planned: &Planned| {
                    assert!(planned.needs.iter().all(|&n| plan.tasks[n].hash != planned.hash));
                    watch.end(planned, &TaskEnd::Done);
                    TaskEnd::Done
                };
                plan.tasks.iter().map(submit).collect()
            }
        }
        let watch = watcher(usize::MAX);
        assert_eq!((&Queue as &dyn Executor).execute(&plan(), &watch).len(), 12);
    }

    #[test]
    fn a_plan_is_shown_as_a_tree_with_what_is_done() {
        let plan = plan();
        let state = |planned: &Planned| match planned.name.as_str() {
            "normal #0" => State::Done,
            "nasty #0" => State::Resumable,
            "cnn from normal #0" => State::NotFinite,
            _ => State::Absent,
        };
        let tree = plan.tree(&state);
        let words =
            |line: &str| line.split_whitespace().filter(|w| w.len() != 16).collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = tree.lines().map(words).collect();
        assert_eq!(
            lines[..6],
            [
                "normal #0 done",
                "├─ nasty #0 begun",
                "│ ├─ cnn from nasty #0 to do",
                "│ └─ preresnet20 from nasty #0 to do",
                "├─ cnn from normal #0 done: loss not finite",
                "└─ preresnet20 from normal #0 to do",
            ]
        );
        assert_eq!(lines[12], "2 of 12 tasks done");
    }
}
