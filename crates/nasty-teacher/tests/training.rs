//! The properties that the store rests on: a run depends on its recipe alone, not on being interrupted, on the
//! number of threads or on what is cached. On a small part of the embedded images, in seconds.

use nasty_teacher::data::{DataName, DataRoots};
use nasty_teacher::device::device;
use nasty_teacher::lab::defaults::{self, Kind};
use nasty_teacher::lab::{JobEnd, JobError, Run, RunResult, State, Store, Verdict, Workplace, apply, digest};
use nasty_teacher::tensorboard::EventWriter;
use nasty_teacher::training::{EpochRow, NetworkRef, Observer, Recipe, Start, TrainError};
use std::path::Path;

/// Stops after a number of batches; counts them.
struct StopAfter {
    batches: usize,
    seen: usize,
}

const NEVER: usize = usize::MAX;

impl StopAfter {
    fn new(batches: usize) -> Self {
        Self { batches, seen: 0 }
    }
}

impl Observer for StopAfter {
    fn batch(&mut self, _: usize, _: usize, _: usize, _: f64) {
        self.seen += 1;
    }
    fn epoch(&mut self, _: &EpochRow, _: usize) {}
    fn stop(&self) -> bool {
        self.seen >= self.batches
    }
}

fn workplace(store: &Path) -> Workplace {
    let roots = DataRoots::resolve(Some(store.to_owned())).expect("a folder was given");
    Workplace::new(
        Store::open(store).expect("a writable folder"),
        roots,
        device("flex").expect("flex"),
        "flex",
    )
}

fn recipe(workplace: &Workplace, kind: Kind, changes: &[&str]) -> Recipe {
    let data = workplace.data(&DataName::Quickstart, None).expect("embedded");
    let architecture = "cnn4".parse().expect("a name of the zoo");
    let base = defaults::recipe(DataName::Quickstart, digest(&data), architecture, kind);
    let small = ["epochs=3", "data.subset=160", "data.validation=100", "batch=32"];
    let changes: Vec<String> = small.iter().chain(changes).map(|c| (*c).to_owned()).collect();
    apply(base, &changes).expect("a recipe that can run")
}

fn finish(workplace: &Workplace, recipe: &Recipe) -> RunResult {
    match workplace.carry_out(recipe, &mut StopAfter::new(NEVER)) {
        Ok(JobEnd::Done(result)) => *result,
        Ok(JobEnd::Stopped) => panic!("nobody asked to stop"),
        Err(e) => panic!("{e}"),
    }
}

/// Everything that must not depend on how a run went: weights, course, result.
fn essence(run: &Run) -> (Vec<u8>, String, String) {
    let weights = std::fs::read(run.folder.join("model.safetensors")).expect("a finished run has weights");
    let rows =
        run.rows().expect("rows").into_iter().map(|row| format!("{:?}", EpochRow { seconds: 0.0, ..row }));
    let result = run.result().expect("readable").expect("finished");
    let events =
        EventWriter::read(&run.folder).expect("an event file").into_iter().map(|s| (s.tag, s.step, s.value));
    let losses = run.rows().expect("rows").into_iter().map(|row| (row.step as u64, row.train_loss as f32));
    let told: Vec<_> =
        events.filter(|(tag, ..)| tag == "train/loss").map(|(_, step, loss)| (step, loss)).collect();
    assert_eq!(told, losses.collect::<Vec<_>>(), "the event file says what metrics.jsonl says");
    (weights, rows.collect(), format!("{:?} {:?} {}", result.test, result.nastiness, result.epoch))
}

/// A finished normal teacher, and the recipe of the nasty one made from it.
fn teachers(workplace: &Workplace, changes: &[&str]) -> (Recipe, Recipe) {
    let normal = recipe(workplace, Kind::Train, changes);
    finish(workplace, &normal);
    let nasty = recipe(workplace, Kind::Undermine(NetworkRef(normal.hash())), changes);
    (normal, nasty)
}

#[test]
fn a_run_that_is_stopped_at_any_batch_goes_on_to_the_same_bits() {
    for optimiser in ["optimiser.kind=sgd", "optimiser.kind=adam"] {
        let whole = tempfile::tempdir().expect("temp");
        let changes = [optimiser, "learning_rate=0.01", "clip_norm=1"];
        let there = workplace(whole.path());
        let (_, nasty) = teachers(&there, &changes);
        finish(&there, &nasty);
        let expected = essence(&there.store.run(&nasty.hash()));

        let pieces = tempfile::tempdir().expect("temp");
        let mut sittings = 0;
        // 5 batches an epoch: sittings of 1 batch stop in the middle of epochs and at their ends.
        loop {
            let here = workplace(pieces.path());
            let (_, nasty) = teachers(&here, &changes);
            let end = here.carry_out(&nasty, &mut StopAfter::new(1)).expect("runs");
            sittings += 1;
            if let JobEnd::Done(_) = end {
                break;
            }
            assert!(here.store.run(&nasty.hash()).state_file().exists(), "a stopped run can be resumed");
        }
        assert!(sittings >= 14, "{sittings} sittings");
        let here = workplace(pieces.path());
        let run = here.store.run(&nasty.hash());
        assert!(essence(&run) == expected, "{optimiser}");
        assert!(!run.state_file().exists(), "a finished run keeps no state");
    }
}

#[test]
fn a_run_whose_images_grow_resumes_to_the_same_bits() {
    let changes = ["architecture=preresnet20", "growing=0.7", "epochs=3", "batch=64"];
    let whole = tempfile::tempdir().expect("temp");
    let there = workplace(whole.path());
    let (_, nasty) = teachers(&there, &changes);
    finish(&there, &nasty);
    let pieces = tempfile::tempdir().expect("temp");
    let mut sittings = 0;
    loop {
        let here = workplace(pieces.path());
        teachers(&here, &changes);
        sittings += 1;
        if let JobEnd::Done(_) = here.carry_out(&nasty, &mut StopAfter::new(2)).expect("runs") {
            break;
        }
    }
    assert!(sittings >= 5, "{sittings} sittings");
    let run = |place: &Path| essence(&workplace(place).store.run(&nasty.hash()));
    assert!(run(whole.path()) == run(pieces.path()));

    let fixed = recipe(&there, Kind::Train, &[]);
    let refused = apply(fixed, &["growing=0.7".to_owned()]).expect_err("cnn4 has a layer for every pixel");
    assert!(refused.to_string().contains("growing must be 0 for cnn4"), "{refused}");
}

#[test]
fn threads_and_the_logit_table_do_not_change_a_result() {
    let mut all = Vec::new();
    for (threads, keep_logits) in [(1, true), (3, true), (3, false)] {
        let folder = tempfile::tempdir().expect("temp");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        all.push(pool.install(|| {
            let mut here = workplace(folder.path());
            here.keep_logits = keep_logits;
            let (_, nasty) = teachers(&here, &[]);
            finish(&here, &nasty);
            let student =
                recipe(&here, Kind::Distill(NetworkRef(nasty.hash())), &["augmentation.crop_padding=1"]);
            finish(&here, &student);
            [essence(&here.store.run(&nasty.hash())), essence(&here.store.run(&student.hash()))]
        }));
    }
    assert!(all[0] == all[1], "another number of threads gave other bits");
    assert!(all[1] == all[2], "the table of logits changed the bits");
}

#[test]
fn a_table_of_logits_serves_every_run_in_the_process_and_after_it() {
    let student = |here: &Workplace, nasty: &Recipe, seed: &str| {
        let changes = ["augmentation.crop_padding=1", seed];
        let student = recipe(here, Kind::Distill(NetworkRef(nasty.hash())), &changes);
        finish(here, &student);
        essence(&here.store.run(&student.hash()))
    };
    let folder = tempfile::tempdir().expect("temp");
    let logits = folder.path().join("logits");
    let here = workplace(folder.path());
    let (_, nasty) = teachers(&here, &[]);
    finish(&here, &nasty);
    let first = student(&here, &nasty, "learning_rate=0.1");
    let second = student(&here, &nasty, "learning_rate=0.05");
    drop(here);
    let bytes = nasty_teacher::victim::logits::file_bytes(&logits);
    assert!(bytes > 0, "the tables are kept");

    // In a new process, so to say, the same students find them; the bits stay.
    for name in ["0.1", "0.05"] {
        let changes = ["augmentation.crop_padding=1", &format!("learning_rate={name}")];
        let here = workplace(folder.path());
        let again = recipe(&here, Kind::Distill(NetworkRef(nasty.hash())), &changes);
        std::fs::remove_dir_all(here.store.run(&again.hash()).folder).expect("it was run");
    }
    let here = workplace(folder.path());
    assert!(student(&here, &nasty, "learning_rate=0.1") == first);
    assert!(student(&here, &nasty, "learning_rate=0.05") == second);
    drop(here);
    assert_eq!(nasty_teacher::victim::logits::file_bytes(&logits), bytes, "nothing new was computed");
}

#[test]
fn a_finished_recipe_is_not_run_again_and_a_changed_one_is_another() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let first = recipe(&here, Kind::Train, &[]);
    let result = finish(&here, &first);
    let mut watcher = StopAfter::new(NEVER);
    let Ok(JobEnd::Done(again)) = here.carry_out(&first, &mut watcher) else { panic!("it is finished") };
    assert_eq!((watcher.seen, *again), (0, result));
    assert_ne!(recipe(&here, Kind::Train, &["seed=1"]).hash(), first.hash());
}

#[test]
fn the_best_epoch_is_kept_or_the_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let workplace = workplace(folder.path());
    let shared = ["epochs=6", "learning_rate=0.4", "schedule.kind=constant"];
    let best = recipe(&workplace, Kind::Train, &shared);
    let last = apply(best.clone(), &["keep=last".to_owned()]).expect("a recipe that can run");
    let (kept_best, kept_last) = (finish(&workplace, &best), finish(&workplace, &last));
    let rows = workplace.store.run(&best.hash()).rows().expect("rows");
    let accuracy = |row: &EpochRow| row.selection.as_ref().expect("images are held out").accuracy;
    let top = rows.iter().map(accuracy).fold(0.0, f64::max);
    assert_eq!(accuracy(&rows[kept_best.epoch]), top);
    assert_ne!(kept_best.epoch, 5, "or this test shows nothing");
    assert_eq!(kept_last.epoch, 5);
    assert_ne!(kept_best.test, kept_last.test);
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_with_advice() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let wild = recipe(&here, Kind::Train, &["learning_rate=1e30", "warmup=0", "schedule.kind=constant"]);
    let Err(error) = here.carry_out(&wild, &mut StopAfter::new(NEVER)) else { panic!("must fail") };
    let JobError::Train(TrainError::NotFinite { epoch, ref recipe, ref advice, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!((epoch, recipe), (0, &wild.hash()));
    assert!(advice.contains("clip_norm=1") && advice.contains("learning_rate"), "{advice}");
    let run = here.store.run(&wild.hash());
    assert!(run.result().expect("readable").is_none(), "there is no network");
    assert_eq!(run.state(), State::NotFinite);

    // It is recorded: after a restart too it is known, and not tried again.
    let mut watcher = StopAfter::new(NEVER);
    let Err(again) = workplace(folder.path()).carry_out(&wild, &mut watcher) else { panic!("must fail") };
    assert_eq!((watcher.seen, again.to_string()), (0, error.to_string()));
}

#[test]
fn a_nasty_teacher_is_judged() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let (normal, _) = teachers(&here, &["epochs=2"]);
    let verdict = |changes: &[&str]| {
        let recipe = recipe(&here, Kind::Undermine(NetworkRef(normal.hash())), changes);
        finish(&here, &recipe).nastiness.expect("undermining is judged")
    };
    let same = verdict(&["epochs=2", "objective.omega=0"]);
    assert!(same.scaled_kl < 1e-3, "ω = 0 and the same seed give the adversary itself: {}", same.scaled_kl);
    assert_eq!((same.verdict, same.measured_on.as_str()), (Verdict::NotNasty, "held-out"));
    let wild = verdict(&["epochs=20", "objective.omega=1", "clip_norm=1"]);
    assert!(wild.scaled_kl > same.scaled_kl && wild.verdict != Verdict::NotNasty, "{wild:?}");
}

#[test]
fn impossible_splits_and_foreign_states_are_refused() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let run = |recipe: &Recipe| {
        here.carry_out(recipe, &mut StopAfter::new(1)).map(|_| ()).map_err(|e| e.to_string())
    };
    let too_many = recipe(&here, Kind::Train, &["data.subset=100000"]);
    assert!(run(&too_many).expect_err("too many").contains("data.subset is 100000, but"));
    let missing = recipe(&here, Kind::Distill(NetworkRef("0".repeat(16))), &[]);
    assert!(run(&missing).expect_err("no such teacher").contains("0000"));

    let stopped = recipe(&here, Kind::Train, &[]);
    run(&stopped).expect("one batch");
    let state = here.store.run(&stopped.hash()).state_file();
    let whole = std::fs::read(&state).expect("saved");
    for damaged in [&whole[..whole.len() / 2], &whole[..5], b"", &whole[8..]] {
        std::fs::write(&state, damaged).expect("writable");
        let message = run(&stopped).expect_err("damaged");
        assert!(message.contains("state.safetensors") && message.contains("damaged"), "{message}");
    }
    let other = recipe(&here, Kind::Train, &["seed=9"]);
    std::fs::create_dir_all(here.store.run(&other.hash()).folder).expect("writable");
    std::fs::write(here.store.run(&other.hash()).state_file(), &whole).expect("writable");
    assert!(run(&other).expect_err("foreign").contains(&stopped.hash()));
}

#[test]
fn logits_of_other_weights_under_the_same_name_are_not_served() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let (normal, other) =
        (recipe(&here, Kind::Train, &[]), recipe(&here, Kind::Train, &["seed=1", "learning_rate=0.02"]));
    finish(&here, &normal);
    finish(&here, &other);
    let student = |seed: &str| recipe(&here, Kind::Distill(NetworkRef(normal.hash())), &[seed]);
    finish(&here, &student("seed=0"));
    drop(here);

    // The teacher's folder is lost; elsewhere the same recipe gives other weights.
    let here = workplace(folder.path());
    let copy = |name: &str| {
        let [from, to] = [&other, &normal].map(|r| here.store.run(&r.hash()).folder.join(name));
        std::fs::copy(from, to).expect("both are finished");
    };
    copy("model.safetensors");
    let student = |changes: &[&str]| recipe(&here, Kind::Distill(NetworkRef(normal.hash())), changes);
    let again = student(&["seed=0"]);
    std::fs::remove_dir_all(here.store.run(&again.hash()).folder).expect("it was run");
    finish(&here, &again);
    let with_table = essence(&here.store.run(&again.hash()));

    std::fs::remove_dir_all(here.store.run(&again.hash()).folder).expect("it was run");
    let mut without = workplace(folder.path());
    without.keep_logits = false;
    finish(&without, &again);
    assert!(essence(&without.store.run(&again.hash())) == with_table, "two teachers' logits were mixed");
}

#[test]
fn a_run_does_not_go_on_with_another_teacher_of_the_same_name() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let (normal, nasty) = teachers(&here, &[]);
    let end = here.carry_out(&nasty, &mut StopAfter::new(2)).expect("runs");
    assert!(matches!(end, JobEnd::Stopped));
    let other = recipe(&here, Kind::Train, &["seed=1"]);
    finish(&here, &other);
    let weights = |recipe: &Recipe| here.store.run(&recipe.hash()).folder.join("model.safetensors");
    let before = std::fs::read(weights(&normal)).expect("finished");
    std::fs::copy(weights(&other), weights(&normal)).expect("writable");
    let Err(error) = here.carry_out(&nasty, &mut StopAfter::new(NEVER)) else { panic!("must be refused") };
    let message = error.to_string();
    assert!(message.contains("state.safetensors") && message.contains(&normal.hash()), "{message}");
    std::fs::write(weights(&normal), before).expect("writable");
    finish(&here, &nasty);
}

#[test]
fn networks_of_the_store_are_known_by_what_they_are() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let normal = recipe(&here, Kind::Train, &[]);
    finish(&here, &normal);
    // A folder of another name, as `nasty import -o runs/teacher` makes it.
    let named = folder.path().join("teacher");
    std::fs::create_dir(&named).expect("writable");
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(here.store.run(&normal.hash()).folder.join(name), named.join(name)).expect("finished");
    }
    let by_folder = here.store.resolve(&named.display().to_string()).expect("it is a network");
    let by_name = here.store.resolve("teach").expect("the only one");
    assert!(by_folder == by_name && by_name.is_identity(), "{by_folder:?} {by_name:?}");
    assert!(here.store.network(&by_name).join("config.json").is_file());
    assert_eq!(here.store.resolve(&normal.hash()[..5]).expect("a run").0, normal.hash());
}

/// `recipe` beginning with the weights of `network`.
fn begun_at(recipe: Recipe, network: &str, changes: &[&str]) -> Recipe {
    let start = Start { network: NetworkRef(network.to_owned()), freeze: None };
    let changes: Vec<String> =
        ["epochs=2", "batch=32"].iter().chain(changes).map(|c| (*c).to_owned()).collect();
    apply(defaults::fine_tuning(recipe, start, 28), &changes).expect("a recipe that can run")
}

#[test]
fn training_goes_on_from_weights_with_their_normalisation_and_frozen_stages() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let first = recipe(&here, Kind::Train, &[]);
    finish(&here, &first);
    let normal = here.store.run(&first.hash()).folder;
    // The same weights under another normalisation: what the start says is kept.
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).expect("writable");
    std::fs::copy(normal.join("model.safetensors"), outside.join("model.safetensors")).expect("copied");
    let config = std::fs::read_to_string(normal.join("config.json")).expect("there");
    let mut config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
    (config["mean"], config["std"]) = (serde_json::json!([0.25]), serde_json::json!([0.5]));
    std::fs::write(outside.join("config.json"), config.to_string()).expect("writable");
    let start = here.store.resolve(outside.to_str().expect("UTF-8")).expect("adopted");

    let tuned = begun_at(first.clone(), &start.0, &["start.freeze=conv2"]);
    assert_ne!(tuned.hash(), first.hash());
    finish(&here, &tuned);
    let run = here.store.run(&tuned.hash());
    let config = std::fs::read_to_string(run.folder.join("config.json")).expect("there");
    let config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
    assert_eq!((&config["mean"], &config["std"]), (&serde_json::json!([0.25]), &serde_json::json!([0.5])));
    let made_with = run.result().expect("readable").expect("finished").made_with.expect("of today");
    assert!(made_with.weights.iter().any(|(name, _)| *name == start.0), "{made_with:?}");

    let tensors = |folder: &Path| {
        let (network, _) = nasty_teacher::nets::load(folder, &here.device).expect("a network");
        network.state_dict()
    };
    let (before, after) = (tensors(&normal), tensors(&run.folder));
    let changed: Vec<&str> =
        before.iter().zip(&after).filter(|(a, b)| a != b).map(|(a, _)| a.name.as_str()).collect();
    assert!(
        !changed.iter().any(|name| name.starts_with("conv1.") || name.starts_with("conv2.")),
        "{changed:?}"
    );
    assert!(changed.contains(&"fc2.weight") && changed.contains(&"conv3.weight"), "{changed:?}");

    // Another architecture, and a stage that is not there.
    let fails = |recipe: &Recipe| match here.carry_out(recipe, &mut StopAfter::new(NEVER)) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it cannot run"),
    };
    let other = Recipe { architecture: "cnn2".parse().expect("a name"), ..tuned.clone() };
    assert!(fails(&other).contains("is a cnn4, the architecture is cnn2"), "{}", fails(&other));
    let stage = begun_at(first, &start.0, &["start.freeze=layer9"]);
    assert!(fails(&stage).contains("cnn4 has no stage `layer9`"), "{}", fails(&stage));
}

#[test]
fn undermining_from_the_adversarys_own_weights_is_guarded_and_resumes_to_the_same_bits() {
    let recipes = |here: &Workplace, changes: &[&str]| {
        let normal = recipe(here, Kind::Train, &["epochs=4"]);
        finish(here, &normal);
        let nasty = recipe(here, Kind::Undermine(NetworkRef(normal.hash())), &[]);
        begun_at(nasty, &normal.hash(), changes)
    };
    let strong = ["epochs=3", "objective.omega=0.4", "learning_rate=0.05", "objective.guard.tolerance=1"];
    let whole = tempfile::tempdir().expect("temp");
    let there = workplace(whole.path());
    let nasty = recipes(&there, &strong);
    let result = finish(&there, &nasty);
    let run = there.store.run(&nasty.hash());
    let distances: Vec<f64> = run
        .rows()
        .expect("rows")
        .iter()
        .map(|row| row.selection.clone().expect("held out").scaled_kl.expect("watched"))
        .collect();
    assert_eq!(distances.len(), 3);
    let farthest = distances.iter().copied().fold(0.0, f64::max);
    assert!(distances[result.epoch] == farthest && farthest > 1.0, "{distances:?}, kept {}", result.epoch);
    let told = result.nastiness.clone().expect("a nasty teacher").scaled_kl;
    assert!(
        (told - farthest).abs() < 1e-3 * farthest,
        "the verdict is on the kept weights: {told} {farthest}"
    );
    let expected = essence(&run);

    let pieces = tempfile::tempdir().expect("temp");
    loop {
        let here = workplace(pieces.path());
        let nasty = recipes(&here, &strong);
        if let JobEnd::Done(_) = here.carry_out(&nasty, &mut StopAfter::new(2)).expect("runs") {
            assert!(essence(&here.store.run(&nasty.hash())) == expected);
            break;
        }
    }

    // Nothing may be lost, and much is: every epoch is undone, and the start's weights are what is left.
    let broken = [
        "objective.omega=50",
        "learning_rate=0.5",
        "clip_norm=none",
        "objective.guard.tolerance=0",
        "epochs=2",
    ];
    let nasty = recipes(&there, &broken);
    let result = finish(&there, &nasty);
    let rows = there.store.run(&nasty.hash()).rows().expect("rows");
    assert!(rows.iter().all(|row| row.selection.as_ref().is_some_and(|s| s.undone)), "{rows:?}");
    assert!(result.start_kept);
    let nastiness = result.nastiness.expect("a nasty teacher");
    assert_eq!((nastiness.verdict, nastiness.scaled_kl), (Verdict::NotNasty, 0.0));
    assert_eq!(nastiness.adversary.correct, result.test.correct);

    let unguarded = Recipe { start: None, ..nasty };
    assert!(unguarded.problem().expect("no start to fall back to").contains("objective.guard"));
}
