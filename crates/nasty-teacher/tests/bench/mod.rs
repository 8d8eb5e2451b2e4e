//! Shared by tests of audits and thieves: a workplace in a folder, tiny victims, and a watcher whose patience ends.

use nasty_teacher::data::{DataName, DataRoots};
use nasty_teacher::device::device;
use nasty_teacher::lab::defaults::{Kind, recipe};
use nasty_teacher::lab::{
    Executor, JobError, Local, Plan, Planned, Store, Task, TaskEnd, Watch, Workplace, apply, digest,
};
use nasty_teacher::training::{EpochRow, Observer, Recipe};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Stops after a number of batches, over all tasks.
pub(crate) struct Patience(AtomicUsize);

impl Patience {
    pub(crate) fn new(batches: usize) -> Self {
        Self(AtomicUsize::new(batches))
    }

    pub(crate) fn endless() -> Self {
        Self::new(usize::MAX)
    }
}

struct One<'a>(&'a Patience);

impl Observer for One<'_> {
    fn batch(&mut self, _: usize, _: usize, _: usize, _: f64) {
        let _ = self.0.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| Some(n.saturating_sub(1)));
    }
    fn epoch(&mut self, _: &EpochRow, _: usize) {}
    fn stop(&self) -> bool {
        self.0.0.load(Ordering::Relaxed) == 0
    }
}

impl Watch<JobError> for Patience {
    fn begin(&self, _: &Planned) -> Box<dyn Observer + '_> {
        Box::new(One(self))
    }
    fn end(&self, _: &Planned, _: &TaskEnd<JobError>) {}
    fn stop(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

pub(crate) fn workplace(store: &Path) -> Workplace {
    let roots = DataRoots::resolve(Some(store.to_owned())).expect("a folder was given");
    Workplace::new(Store::open(store).expect("writable"), roots, device("flex").expect("flex"), "flex")
}

/// A cnn4 trained on the quickstart's images with `changes` to the usual recipe, and its hash.
pub(crate) fn victim(here: &Workplace, changes: &[&str]) -> String {
    let data = here.data(&DataName::Quickstart, None).expect("embedded");
    let recipe: Recipe =
        recipe(DataName::Quickstart, digest(&data), "cnn4".parse().expect("a name"), Kind::Train);
    let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
    let recipe = apply(recipe, &changes).expect("it can run");
    let hash = recipe.hash();
    let plan = Plan::new([("victim".to_owned(), Task::Train(recipe))]);
    let ends = Local { worker: here, jobs: 1 }.execute(&plan, &Patience::endless());
    assert!(matches!(ends[..], [TaskEnd::Done]));
    hash
}
