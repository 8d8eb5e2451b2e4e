use super::*;
use crate::nets::NamedTensor;
use crate::numerics::Numerics;
use std::path::PathBuf;

/// Adds up its steps; told where its numbers go wrong.
#[derive(Clone, Default)]
struct Toy {
    bad_loss: Option<usize>,
    bad_weights: Option<usize>,
    bad_epoch: Option<usize>,
}

const EPOCHS: usize = 3;
const STEPS: usize = 2;

struct Sum {
    weight: f32,
    steps: usize,
}

impl Work for Toy {
    type State = Sum;
    type Position = usize;

    fn epochs(&self) -> usize {
        EPOCHS
    }

    fn steps(&self, _: usize) -> usize {
        STEPS
    }

    fn fresh(&mut self) -> Result<Sum, TrainError> {
        Ok(Sum { weight: 0.0, steps: 0 })
    }

    fn resume(&mut self, saved: &Saved<usize>) -> Result<Sum, TrainError> {
        let like = NamedTensor { name: "w".into(), shape: vec![1], data: Vec::new() };
        Ok(Sum { weight: saved.group("weights", &[like])?[0].data[0], steps: saved.position })
    }

    fn parts(&self, state: &Sum) -> Parts<usize> {
        let tensor = NamedTensor { name: "w".into(), shape: vec![1], data: vec![state.weight] };
        Parts { position: state.steps, groups: vec![("weights", vec![tensor])], records: Vec::new() }
    }

    fn step(&mut self, state: Sum, at: At) -> Result<(Sum, f64), Fault> {
        let step = at.epoch * STEPS + at.step;
        assert_eq!(step, state.steps, "every step is taken once, in order");
        let bad = |bad: Option<usize>, fine: f64| if bad == Some(step) { f64::NAN } else { fine };
        finite("loss", bad(self.bad_loss, 1.0), || "try less".into())?;
        let weight = state.weight + bad(self.bad_weights, step as f64) as f32;
        Ok((Sum { weight, steps: state.steps + 1 }, 1.0))
    }

    fn end_epoch(&mut self, state: &mut Sum, epoch: usize) -> Result<EpochRow, Fault> {
        let held_out = if self.bad_epoch == Some(epoch) { f64::INFINITY } else { 1.0 };
        finite("held-out loss", held_out, || self.advice())?;
        Ok(EpochRow {
            epoch,
            step: state.steps,
            learning_rate: 0.1,
            train_loss: 1.0,
            train_accuracy: 0.5,
            selection: None,
            seconds: 0.0,
        })
    }

    fn advice(&self) -> String {
        "try less".into()
    }
}

/// Stops after some steps, and remembers what it was told.
#[derive(Default)]
struct Watcher {
    stop_after: Option<usize>,
    steps: usize,
    resumed: Vec<usize>,
    epochs: Vec<usize>,
}

impl Observer for Watcher {
    fn batch(&mut self, _: usize, _: usize, _: usize, _: f64) {
        self.steps += 1;
    }
    fn epoch(&mut self, row: &EpochRow, _: usize) {
        self.epochs.push(row.epoch);
    }
    fn stop(&self) -> bool {
        self.stop_after.is_some_and(|steps| self.steps >= steps)
    }
    fn resumed(&mut self, rows: &[EpochRow]) {
        self.resumed = rows.iter().map(|row| row.epoch).collect();
    }
}

fn made_with(set: &str, weights: &str) -> Provenance {
    Provenance {
        numerics: vec![Numerics { version: 1, device: "flex".into(), instruction_set: set.into() }],
        weights: vec![("0123456789abcdef".into(), weights.into())],
    }
}

struct Place {
    _folder: tempfile::TempDir,
    state: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temp");
        Self { state: folder.path().join("state.safetensors"), _folder: folder }
    }

    /// A sitting of the toy; the final weight and provenance if it finished.
    fn sit(
        &self,
        toy: &Toy,
        provenance: Provenance,
        watcher: &mut Watcher,
    ) -> Result<Option<(f32, Finish)>, TrainError> {
        let context = RunContext { state_file: &self.state, provenance, observer: watcher };
        Ok(match context.carry_out("toy", &mut toy.clone())? {
            Ended::Finished(sum, finish) => Some((sum.weight, finish)),
            Ended::Stopped => None,
        })
    }
}

fn usual() -> Provenance {
    made_with("avx512", "aaaaaaaaaaaaaaaa")
}

#[test]
fn sittings_of_any_length_take_every_step_once_and_tell_what_was_before() {
    for length in 1..=5 {
        let (place, mut told) = (Place::new(), Vec::new());
        let (weight, finish) = loop {
            let mut watcher = Watcher { stop_after: Some(length), ..Watcher::default() };
            let end = place.sit(&Toy::default(), usual(), &mut watcher).expect("fine numbers");
            assert_eq!(watcher.resumed, told, "sittings of {length} steps");
            told.extend(&watcher.epochs);
            if let Some(end) = end {
                break end;
            }
        };
        assert_eq!((weight, told), (15.0, vec![0, 1, 2]));
        assert_eq!(finish.rows.iter().map(|row| row.step).collect::<Vec<_>>(), [2, 4, 6]);
        assert_eq!(finish.provenance, usual());
        assert!(finish.rows.is_sorted_by(|a, b| a.seconds <= b.seconds) && finish.seconds > 0.0);
    }
}

#[test]
fn a_state_made_from_other_weights_is_refused_and_other_numerics_are_told() {
    let place = Place::new();
    let stop = || Watcher { stop_after: Some(3), ..Watcher::default() };
    assert!(place.sit(&Toy::default(), usual(), &mut stop()).expect("runs").is_none());
    let other = made_with("avx512", "bbbbbbbbbbbbbbbb");
    let error = place.sit(&Toy::default(), other, &mut stop()).map(|_| ()).expect_err("other weights");
    let message = error.to_string();
    assert!(matches!(error, TrainError::State(StateError::OtherWeights { .. })));
    for part in ["network 0123456789abcdef with weights aaaaaaaaaaaaaaaa", "are now", "bbbbbbbbbbbbbbbb"] {
        assert!(message.contains(part), "{message}");
    }
    let narrow = made_with("avx2", "aaaaaaaaaaaaaaaa");
    let end = place.sit(&Toy::default(), narrow.clone(), &mut Watcher::default()).expect("goes on");
    let (weight, finish) = end.expect("nobody stops it");
    assert_eq!(weight, 15.0);
    assert_eq!(finish.provenance, narrow.continuing(&usual()));
    assert_eq!(finish.provenance.numerics.len(), 2);
}

#[test]
fn states_of_version_0_1_0_are_refused_as_such_and_not_as_damaged() {
    let place = Place::new();
    let header = r#"{"format":1,"recipe":"toy","position":{"epoch":1,"batch":0}}"#;
    let empty: [(String, safetensors::tensor::TensorView<'_>); 0] = [];
    let metadata = std::collections::HashMap::from([("nasty-teacher".to_owned(), header.to_owned())]);
    let file = safetensors::serialize(empty, Some(metadata)).expect("a file");
    std::fs::write(&place.state, &file).expect("writable");
    let error = place.sit(&Toy::default(), usual(), &mut Watcher::default()).map(|_| ()).expect_err("old");
    let message = error.to_string();
    assert!(
        message.ends_with("a saved state of format 1, but this version can only continue states of format 2"),
        "{message}"
    );
    assert!(std::fs::read(&place.state).expect("still there") == file);
}

#[test]
fn numbers_that_are_not_finite_end_the_run_and_leave_the_last_state() {
    let cases = [
        (Toy { bad_loss: Some(3), ..Toy::default() }, "loss became NaN in epoch 2, step 4"),
        (Toy { bad_epoch: Some(1), ..Toy::default() }, "held-out loss became inf in epoch 2, step 5"),
        // The very last step, after which no loss is computed any more.
        (Toy { bad_weights: Some(5), ..Toy::default() }, "weights became NaN in epoch 3, step 7"),
    ];
    for (toy, expected) in cases {
        let place = Place::new();
        let advice = |place: &Place| {
            let error =
                place.sit(&toy, usual(), &mut Watcher::default()).map(|_| ()).expect_err("not finite");
            assert!(error.to_string().contains(expected), "{error}");
            let TrainError::NotFinite { advice, .. } = error else { panic!("{error}") };
            advice
        };
        assert_eq!(advice(&place), "try less; no state had been saved");
        assert!(!place.state.exists());
        let mut watcher = Watcher { stop_after: Some(1), ..Watcher::default() };
        assert!(place.sit(&toy, usual(), &mut watcher).expect("one step").is_none());
        let saved = std::fs::read(&place.state).expect("saved");
        assert_eq!(advice(&place), "try less; the state saved after 1 steps is kept");
        assert!(std::fs::read(&place.state).expect("kept") == saved);
    }
}

#[test]
fn what_is_measured_after_the_end_is_checked_too() {
    let place = Place::new();
    let end = place.sit(&Toy::default(), usual(), &mut Watcher::default()).expect("runs");
    let (_, finish) = end.expect("nobody stops it");
    assert!(finish.end.finite("test loss", 0.5).is_ok());
    let error = finish.end.finite("test loss", f64::NAN).expect_err("NaN");
    assert_eq!(error.to_string(), "the test loss became NaN in epoch 3, step 7 of recipe toy");
}
