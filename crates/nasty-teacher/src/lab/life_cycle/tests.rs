//! The life cycle of tasks that train for about a second.

use super::*;
use crate::data::{DataName, DataRoots};
use crate::device::device;
use crate::lab::defaults::{Kind, recipe};
use crate::lab::{Plan, State, Store, apply, digest};
use crate::numerics::Numerics;
use crate::training::{EpochRow, NetworkRef};
use std::path::Path;

type OnBatch<'a> = Box<dyn FnMut(usize) + Send + 'a>;

/// Counts batches, calls a function after each, and stops after some.
struct Watcher<'a> {
    seen: usize,
    stop_after: usize,
    on_batch: OnBatch<'a>,
}

impl<'a> Watcher<'a> {
    fn new(stop_after: usize, on_batch: impl FnMut(usize) + Send + 'a) -> Self {
        Self { seen: 0, stop_after, on_batch: Box::new(on_batch) }
    }
}

impl Observer for Watcher<'_> {
    fn batch(&mut self, _: usize, _: usize, _: usize, _: f64) {
        self.seen += 1;
        (self.on_batch)(self.seen);
    }
    fn epoch(&mut self, _: &EpochRow, _: usize) {}
    fn stop(&self) -> bool {
        self.seen >= self.stop_after
    }
}

fn workplace(store: &Path) -> Workplace {
    let roots = DataRoots::resolve(Some(store.to_owned())).expect("a folder was given");
    Workplace::new(Store::open(store).expect("writable"), roots, device("flex").expect("flex"), "flex")
}

fn training(workplace: &Workplace, kind: Kind, changes: &[&str]) -> Recipe {
    let data = workplace.data(&DataName::Quickstart, None).expect("embedded");
    let recipe = recipe(DataName::Quickstart, digest(&data), "cnn2".parse().expect("a name"), kind);
    let small = ["epochs=2", "data.subset=96", "data.validation=50", "batch=32"];
    let changes: Vec<String> = small.iter().chain(changes).map(|c| (*c).to_owned()).collect();
    apply(recipe, &changes).expect("a recipe that can run")
}

fn perform(workplace: &Workplace, recipe: &Recipe, watcher: &mut Watcher<'_>) -> Result<Ended, JobError> {
    workplace.perform(&Task::Train(recipe.clone()), watcher)
}

const NEVER: usize = usize::MAX;

/// A change of a JSON file.
fn edit(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut json = serde_json::from_slice(&std::fs::read(path).expect("there")).expect("JSON");
    change(&mut json);
    std::fs::write(path, json.to_string()).expect("writable");
}

#[test]
fn a_result_says_what_it_was_made_with() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let normal = training(&here, Kind::Train, &[]);
    let reference = NetworkRef(normal.hash());
    let student = training(&here, Kind::Distill(reference.clone()), &[]);
    for recipe in [&normal, &student] {
        assert_eq!(perform(&here, recipe, &mut Watcher::new(NEVER, |_| ())).expect("runs"), Ended::Done);
    }
    let made_with = |recipe: &Recipe| {
        let result = here.store.run(&recipe.hash()).result().expect("readable").expect("finished");
        result.made_with.expect("known")
    };
    let digest = here.known_network(&reference).expect("weights").digest;
    assert_eq!(made_with(&normal).numerics, [Numerics::here("flex")]);
    assert_eq!(made_with(&normal).weights, []);
    assert_eq!(made_with(&student).weights, [(reference.0, digest)]);

    // Results of 0.1.0 say nothing of it.
    edit(&here.store.run(&normal.hash()).folder.join("result.json"), |json| {
        json.as_object_mut().expect("an object").remove("made_with");
    });
    assert_eq!(here.store.run(&normal.hash()).result().expect("readable").expect("there").made_with, None);
}

/// Replaces `from` in a saved state by as many digits 0.
fn blot_out(state: &Path, from: &str) {
    let mut bytes = std::fs::read(state).expect("there");
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).expect("in the state's header");
    bytes[at..][..from.len()].fill(b'0');
    std::fs::write(state, bytes).expect("writable");
}

#[test]
fn a_run_continued_on_other_numerics_says_so_and_one_from_other_weights_is_refused() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let normal = training(&here, Kind::Train, &[]);
    perform(&here, &normal, &mut Watcher::new(NEVER, |_| ())).expect("runs");
    let student = training(&here, Kind::Distill(NetworkRef(normal.hash())), &[]);
    let run = here.store.run(&student.hash());
    let begin =
        || assert_eq!(perform(&here, &student, &mut Watcher::new(1, |_| ())).expect("runs"), Ended::Stopped);

    begin();
    let now = Numerics::here("flex");
    blot_out(&run.state_file(), &now.instruction_set);
    let mut watcher = Watcher::new(NEVER, |_| ());
    assert_eq!(perform(&here, &student, &mut watcher).expect("runs"), Ended::Done);
    assert_eq!(watcher.seen, 5, "of 6 batches");
    let result = run.result().expect("readable").expect("finished");
    let elsewhere = Numerics { instruction_set: "0".repeat(now.instruction_set.len()), ..now.clone() };
    assert_eq!(result.made_with.clone().expect("known").numerics, [elsewhere, now]);

    std::fs::remove_file(run.folder.join("result.json")).expect("there");
    begin();
    let [(_, digest)] = &result.made_with.expect("known").weights[..] else { panic!("one network is asked") };
    blot_out(&run.state_file(), digest);
    let error = perform(&here, &student, &mut Watcher::new(NEVER, |_| ())).expect_err("other weights");
    assert!(error.to_string().contains(digest) && run.state_file().is_file(), "{error}");
}

#[test]
fn an_ordinary_failure_is_recorded_and_tried_again() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let normal = training(&here, Kind::Train, &[]);
    let student = training(&here, Kind::Distill(NetworkRef(normal.hash())), &[]);
    let run = here.store.run(&student.hash());
    let error = perform(&here, &student, &mut Watcher::new(NEVER, |_| ())).expect_err("there is no teacher");
    let failure = run.last_failure().expect("readable").expect("recorded");
    assert_eq!((failure.class, &failure.message), (ErrorClass::Data, &error.to_string()));
    assert!(failure.when.is_some() && failure.made_with.is_some());
    assert_eq!((run.state(), run.failure().expect("readable")), (State::Failed, None));
    assert_eq!(run.task().expect("readable"), Some(Task::Train(student.clone())));

    for recipe in [&normal, &student] {
        assert_eq!(perform(&here, recipe, &mut Watcher::new(NEVER, |_| ())).expect("runs"), Ended::Done);
    }
    assert_eq!((run.state(), run.last_failure().expect("readable")), (State::Done, None));
    assert!(!run.folder.join("failure.json").exists() && !run.folder.join("claim.json").exists());
}

#[test]
fn a_panic_is_recorded_as_a_bug_and_the_task_is_tried_again() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let normal = training(&here, Kind::Train, &[]);
    let run = here.store.run(&normal.hash());
    // A state of the first epoch.
    assert_eq!(perform(&here, &normal, &mut Watcher::new(3, |_| ())).expect("runs"), Ended::Stopped);
    let mut watcher = Watcher::new(NEVER, |_| panic!("a bug of the watcher"));
    let error = perform(&here, &normal, &mut watcher).expect_err("it panics");
    assert_eq!(error.class(), ErrorClass::Bug);
    let failure = run.last_failure().expect("readable").expect("recorded");
    assert!(failure.class == ErrorClass::Bug && failure.message.contains("a bug of the watcher"));
    // The state is there, and the claim is not.
    let mut rest = Watcher::new(NEVER, |_| ());
    assert_eq!(perform(&here, &normal, &mut rest).expect("runs"), Ended::Done);
    assert_eq!(rest.seen, 3);
}

#[test]
fn a_loss_that_is_not_finite_is_a_result_on_the_same_numerics_only() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    // A whole epoch at no learning rate, so that there is a state; then it diverges.
    let changes = ["learning_rate=1e30", "warmup=0.5", "schedule.kind=constant", "clip_norm=none"];
    let wild = training(&here, Kind::Train, &changes);
    let run = here.store.run(&wild.hash());
    let tries = |watcher: &mut Watcher<'_>| perform(&here, &wild, watcher).expect_err("it diverges");
    let stopped = perform(&here, &wild, &mut Watcher::new(1, |_| ()));
    assert!(matches!(stopped, Ok(Ended::Stopped) | Err(_)));
    let error = tries(&mut Watcher::new(NEVER, |_| ()));
    assert_eq!(error.class(), ErrorClass::NotFinite);
    assert!(run.state_file().exists(), "the state that the advice speaks of is there");
    assert_eq!(run.state(), State::NotFinite);

    let mut again = Watcher::new(NEVER, |_| ());
    assert_eq!((tries(&mut again).to_string(), again.seen), (error.to_string(), 0));
    // A NaN of another device says nothing of this one.
    let file = run.folder.join("failure.json");
    edit(&file, |json| json["made_with"]["numerics"][0]["device"] = "cuda".into());
    assert_eq!(run.state_on(&here.numerics()), State::Failed);
    let mut again = Watcher::new(NEVER, |_| ());
    tries(&mut again);
    let failure = run.failure().expect("readable").expect("recorded anew");
    assert!(failure.holds_on(&here.numerics()), "it was tried here");
}

/// A task that another process took over while this one was at work: nothing more is written, and it is waited for.
#[test]
fn who_loses_a_run_writes_nothing_more() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let normal = training(&here, Kind::Train, &["epochs=4"]);
    let run = here.store.run(&normal.hash());
    let claim = run.folder.join("claim.json");
    assert_eq!(perform(&here, &normal, &mut Watcher::new(3, |_| ())).expect("runs"), Ended::Stopped);
    let hijack = |seen: usize| {
        if seen == 1 {
            edit(&claim, |json| {
                json["host"] = "another".into();
                json["nonce"] = "another".into();
            });
        }
    };
    let end = perform(&here, &normal, &mut Watcher::new(3, hijack));
    assert!(matches!(end, Err(JobError::Store(StoreError::Stopped(_)))), "it waited, and was stopped");
    assert_eq!(run.rows().expect("readable").len(), 1, "of the two epochs before the stop");
    assert!(claim.exists() && !run.folder.join("failure.json").exists());
    // Once the other one has gone, this one goes on from the state of the first epoch.
    std::fs::remove_file(claim).expect("there");
    let mut rest = Watcher::new(NEVER, |_| ());
    assert_eq!(perform(&here, &normal, &mut rest).expect("runs"), Ended::Done);
    assert_eq!(rest.seen, 9);
}

#[test]
fn a_plan_is_written_before_it_begins_and_its_runs_are_listed() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let normal = training(&here, Kind::Train, &[]);
    let student = training(&here, Kind::Distill(NetworkRef(normal.hash())), &[]);
    let tasks = [("normal", &normal), ("student", &student)];
    let plan = Plan::new(tasks.map(|(name, recipe)| (name.to_owned(), Task::Train(recipe.clone()))));
    here.store.write_tasks(&plan).expect("writable");
    perform(&here, &normal, &mut Watcher::new(NEVER, |_| ())).expect("runs");
    let listed = here.store.runs().expect("readable");
    let mut found: Vec<_> =
        listed.iter().map(|l| (l.task.clone().expect("written").hash(), l.state)).collect();
    let mut expected = vec![(normal.hash(), State::Done), (student.hash(), State::Absent)];
    found.sort_by_key(|(hash, _)| hash.clone());
    expected.sort_by_key(|(hash, _)| hash.clone());
    assert_eq!(found, expected);
    assert_eq!(here.store.task(&student.hash()[..9]).expect("there"), Task::Train(student));
}
