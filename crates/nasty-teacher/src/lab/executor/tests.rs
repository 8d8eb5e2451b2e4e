//! The executor with a worker that does nothing.

use super::*;
use crate::data::DataName;
use crate::lab::Store;
use crate::lab::defaults::{Kind, recipe};
use crate::lab::plan::State;
use crate::training::{EpochRow, NetworkRef};
use miette::Diagnostic;
use std::collections::{HashMap, HashSet};
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
    panics: HashSet<String>,
    /// Failed tries, as the store would know them.
    failures: Mutex<HashMap<String, u32>>,
}

/// What the fake worker is told to fail with.
#[derive(Debug, PartialEq, thiserror::Error, Diagnostic)]
#[error("told to, {0:?}")]
struct Told(ErrorClass);

impl Classified for Told {
    fn class(&self) -> ErrorClass {
        self.0
    }
}

impl Worker for Fake {
    type Error = Told;

    fn look(&self, hash: &str) -> Look {
        let fails = *self.failures.lock().expect("not poisoned").get(hash).unwrap_or(&0);
        match fails {
            _ if self.busy.contains(hash) => Look::Busy,
            0 => Look::Free,
            attempts => Look::Failed { attempts, message: "told to".into() },
        }
    }

    fn work(&self, task: &Task, observer: &mut dyn Observer) -> Result<Option<Ended>, Told> {
        let hash = task.hash();
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(2));
        self.running.fetch_sub(1, Ordering::SeqCst);
        if observer.stop() {
            return Ok(Some(Ended::Stopped));
        }
        self.log.lock().expect("not poisoned").push(hash.clone());
        assert!(!self.panics.contains(&hash), "a bug in {hash}");
        let told = [(&self.fails, ErrorClass::Data), (&self.diverges, ErrorClass::NotFinite)];
        if let Some((_, class)) = told.into_iter().find(|(hashes, _)| hashes.contains(&hash)) {
            *self.failures.lock().expect("not poisoned").entry(hash).or_default() += 1;
            return Err(Told(class));
        }
        Ok(Some(Ended::Done))
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

impl Watch<Told> for Watcher {
    fn begin(&self, _: &Planned) -> Box<dyn Observer + '_> {
        Box::new(Silent(self.stop()))
    }
    fn end(&self, _: &Planned, _: &TaskEnd<Told>) {
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

fn execute(worker: &Fake, plan: &Plan, jobs: usize, stop_after: usize) -> Vec<TaskEnd<Told>> {
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
fn a_panic_ends_its_task_and_no_other() {
    let plan = plan();
    for jobs in [1, 2, 5] {
        let panics = ["normal #0", "cnn from nasty #1"].map(|name| hash(&plan, name));
        let worker = Fake { panics: panics.into(), ..Fake::default() };
        let ends = execute(&worker, &plan, jobs, usize::MAX);
        let end = |name: &str| &ends[plan.tasks.iter().position(|t| t.name == name).expect("a task")];
        assert!(matches!(end("normal #0"), TaskEnd::Panicked(said) if said.starts_with("a bug in ")));
        assert!(matches!(end("nasty #0"), TaskEnd::Blocked(by) if by == "normal #0"));
        assert!(matches!(end("cnn from nasty #1"), TaskEnd::Panicked(_)));
        assert!(matches!(end("preresnet20 from nasty #1"), TaskEnd::Done));
    }
}

#[test]
fn a_watcher_that_panics_does_not_hang_the_plan() {
    struct Broken;
    impl Watch<Told> for Broken {
        fn begin(&self, _: &Planned) -> Box<dyn Observer + '_> {
            Box::new(Silent(false))
        }
        fn end(&self, _: &Planned, _: &TaskEnd<Told>) {
            panic!("nobody can be told");
        }
        fn stop(&self) -> bool {
            false
        }
    }
    let ends = Local { worker: &Fake::default(), jobs: 2 }.execute(&plan(), &Broken);
    assert!(ends.iter().all(|end| matches!(end, TaskEnd::Panicked(_) | TaskEnd::Blocked(_))), "{ends:?}");
}

#[test]
fn a_member_of_a_pool_leaves_what_others_work_on_and_gives_up_what_fails_again_and_again() {
    let plan = plan();
    let worker = Fake {
        busy: [hash(&plan, "cnn from normal #0")].into(),
        fails: [hash(&plan, "nasty #1")].into(),
        failures: Mutex::new([(hash(&plan, "nasty #1"), 2), (hash(&plan, "normal #0"), 7)].into()),
        ..Fake::default()
    };
    let terms = |attempts| Terms { patience: Some(Duration::from_millis(50)), attempts: Some(attempts) };
    let execute = |attempts| {
        let local = Local { worker: &worker, jobs: 2 };
        let folder = tempfile::tempdir().expect("temp");
        let news = NewsFiles::new(&Store::open(folder.path()).expect("writable"), &[]);
        Shared { local, terms: terms(attempts), news: &news }.execute(&plan, &watcher(usize::MAX))
    };
    let place = |name: &str| plan.tasks.iter().position(|t| t.name == name).expect("a task");
    let ends = execute(3);
    assert!(matches!(&ends[place("normal #0")], TaskEnd::GivenUp(why) if why == "told to"));
    assert!(matches!(&ends[place("cnn from normal #0")], TaskEnd::Blocked(by) if by == "normal #0"));
    // Its own failure is the third.
    assert!(matches!(&ends[place("nasty #1")], TaskEnd::Failed(Told(ErrorClass::Data))), "{ends:?}");
    assert!(matches!(ends[place("preresnet20 from normal #1")], TaskEnd::Done));
    let ends = execute(9);
    assert!(matches!(ends[place("normal #0")], TaskEnd::Done));
    assert!(matches!(ends[place("cnn from normal #0")], TaskEnd::Left));
}

#[test]
fn the_longest_way_to_the_end_comes_first() {
    let mut plan = plan();
    let cost = |name: &str| match name {
        "preresnet20 from nasty #1" => 9.0,
        "cnn from normal #0" => 5.0,
        _ => 1.0,
    };
    plan.tasks.iter_mut().for_each(|planned| planned.cost = cost(&planned.name));
    let worker = Fake::default();
    execute(&worker, &plan, 1, usize::MAX);
    let log = worker.log.into_inner().expect("not poisoned");
    let names = ["normal #1", "nasty #1", "preresnet20 from nasty #1", "normal #0", "cnn from normal #0"];
    assert_eq!(log[..5], names.map(|name| hash(&plan, name)));
    let given = plan.tasks.iter().rev().map(|t| (t.name.clone(), t.task.clone(), t.cost));
    let sorted = Plan::sorted(given.collect::<Vec<_>>());
    assert_eq!(sorted.tasks.len(), plan.tasks.len());
    for planned in &sorted.tasks {
        assert_eq!((planned.cost, planned.hash.clone()), (cost(&planned.name), hash(&plan, &planned.name)));
    }
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
    let words = |line: &str| line.split_whitespace().filter(|w| w.len() != 16).collect::<Vec<_>>().join(" ");
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
