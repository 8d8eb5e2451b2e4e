use super::*;
use crate::attacks::noise::{transparent, value};
use crate::attacks::test_support::{CLASSES, StopAfter, context, data, normalisation, victim};
use crate::training::TrainError;
use burn::tensor::{Device, Int, Tensor, TensorData};
use std::path::Path;

fn recipe() -> InversionRecipe {
    InversionRecipe {
        images: 6,
        steps: 60,
        ..InversionRecipe::published(data(), NetworkRef("0".repeat(16)), Some(NetworkRef("1".repeat(16))))
    }
}

fn run(
    recipe: &InversionRecipe,
    state_file: &Path,
    steps: usize,
) -> Result<Option<InversionEnd>, TrainError> {
    let attack = Inversion {
        recipe,
        network: victim(3),
        normalisation: &normalisation(),
        judge: Some((victim(4), normalisation())),
        device: Device::flex(),
    };
    let mut observer = StopAfter::new(steps);
    Ok(match attack.run(context(state_file, &mut observer))? {
        InversionOutcome::Finished(end) => Some(*end),
        InversionOutcome::Stopped => None,
    })
}

fn whole(recipe: &InversionRecipe) -> InversionEnd {
    let folder = tempfile::tempdir().expect("temp");
    run(recipe, &folder.path().join("state"), usize::MAX).expect("runs").expect("nobody stops it")
}

#[test]
fn a_run_that_is_stopped_anywhere_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().expect("temp");
    let state = folder.path().join("state");
    let recipe = recipe();
    let mut sittings = 1;
    let end = loop {
        // Sittings of 7 steps stop inside epochs, sittings of 50 would stop at their ends.
        if let Some(end) = run(&recipe, &state, if sittings == 1 { 50 } else { 7 }).expect("runs") {
            break end;
        }
        sittings += 1;
    };
    assert_eq!(sittings, 3);
    let expected = whole(&recipe);
    assert_eq!(end.images, expected.images);
    assert_eq!((end.rows, end.network, end.judge), (expected.rows, expected.network, expected.judge));
}

#[test]
fn images_come_to_be_seen_as_wanted() {
    let strict = whole(&recipe());
    assert!(strict.rows[1].statistics < strict.rows[0].statistics, "{:?}", strict.rows);
    // The victim is untrained: its classes differ by little, so they must weigh more than the statistics.
    let end = whole(&InversionRecipe { steps: 300, statistics: 0.01, ..recipe() });
    assert_eq!(end.rows.iter().map(|r| r.step).collect::<Vec<_>>(), [50, 100, 150, 200, 250, 300]);
    let (first, last) = (&end.rows[0], &end.rows[5]);
    assert!(last.cross_entropy < first.cross_entropy && last.total < first.total, "{:?}", end.rows);
    assert_eq!(end.images.labels, [0, 1, 2, 0, 1, 2]);
    assert_eq!((end.images.height, end.images.channels, end.images.len()), (8, 1, 6));
    let wanted = |r: &Recognised| r.predicted.iter().zip(&end.images.labels).filter(|(p, l)| p == l).count();
    assert_eq!((end.network.as_wanted, end.network.total), (wanted(&end.network), 6));
    assert!(end.network.as_wanted >= 4, "two of six by chance: {:?}", end.network);
    let judge = end.judge.as_ref().expect("there is one");
    assert_eq!((judge.as_wanted, judge.total), (wanted(judge), 6));
}

#[test]
fn every_term_counts() {
    let plain = whole(&recipe());
    for other in [
        InversionRecipe { statistics: 0.0, ..recipe() },
        InversionRecipe { total_variation: 1.0, ..recipe() },
        InversionRecipe { l2: 1.0, ..recipe() },
        InversionRecipe { jitter: 0, ..recipe() },
        InversionRecipe { flip: false, ..recipe() },
        InversionRecipe { seed: 1, ..recipe() },
    ] {
        assert_ne!(whole(&other).images, plain.images, "{other:?}");
        assert_ne!(other.hash(), recipe().hash());
    }
    let smooth = whole(&InversionRecipe { total_variation: 1.0, ..recipe() });
    assert!(smooth.rows[1].total_variation < plain.rows[1].total_variation);
}

#[test]
fn the_gradient_of_the_whole_loss_is_that_of_its_values() {
    let device = Device::flex().autodiff();
    let network = transparent(victim(3));
    let before = network.state_dict();
    let recipe = InversionRecipe { statistics: 0.5, total_variation: 0.1, l2: 0.1, ..recipe() };
    let pixels: Vec<f32> = (0..6 * 64).map(|i| ((i * 43 % 89) as f32) / 40.0 - 1.0).collect();
    let image = |pixels: Vec<f32>| Tensor::<4>::from_data(TensorData::new(pixels, [6, 8, 8, 1]), &device);
    let loss = |images: Tensor<4>| {
        let labels: Vec<i32> = recipe.labels(CLASSES).into_iter().map(i32::from).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [6]), &device);
        inversion_losses(&network, images, labels).total(&recipe)
    };
    let tracked = image(pixels.clone()).require_grad();
    let gradient = tracked.grad(&loss(tracked.clone()).backward()).expect("tracked");
    let gradient: Vec<f32> = gradient.into_data().try_to_vec().expect("f32");
    let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    let at = |step: f64| {
        let moved = pixels.iter().zip(&gradient).map(|(p, g)| p + (step * f64::from(*g) / norm) as f32);
        value(loss(image(moved.collect())))
    };
    let rise = (at(1e-2) - at(-1e-2)) / 2e-2;
    assert!((rise - norm).abs() < 0.02 * norm, "{rise} against {norm}");
    assert_eq!(network.state_dict(), before, "the network stays as it is");
}

#[test]
fn a_loss_that_is_not_finite_and_a_damaged_state_are_errors() {
    let folder = tempfile::tempdir().expect("temp");
    let state = folder.path().join("state");
    let wild = InversionRecipe { statistics: 1e300, ..recipe() };
    assert_eq!(wild.problem(), None);
    assert!(matches!(run(&wild, &state, usize::MAX), Err(TrainError::NotFinite { step: 0, .. })));
    assert!(run(&recipe(), &state, 1).expect("one step").is_none());
    std::fs::write(&state, b"{}").expect("writable");
    assert!(run(&recipe(), &state, 1).map(|_| ()).expect_err("damaged").to_string().contains("damaged"));
}

#[test]
fn impossible_recipes_are_refused() {
    assert_eq!(recipe().problem(), None);
    let problem = |recipe: InversionRecipe| recipe.problem().expect("impossible");
    assert!(problem(InversionRecipe { images: 1, ..recipe() }).contains("images is 1"));
    assert!(problem(InversionRecipe { images: usize::MAX, ..recipe() }).contains("images"));
    assert!(problem(InversionRecipe { l2: f64::INFINITY, ..recipe() }).contains("l2"));
    assert!(problem(InversionRecipe { jitter: 1000, ..recipe() }).contains("jitter"));
    assert!(problem(InversionRecipe { learning_rate: 0.0, ..recipe() }).contains("learning_rate"));
    let text = serde_json::to_string(&recipe()).expect("plain data");
    assert_eq!(serde_json::from_str::<InversionRecipe>(&text).expect("its own text").hash(), recipe().hash());
}
