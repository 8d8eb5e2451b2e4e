//! On images of 8 × 8 pixels, in batches of 32.

use super::differences::{directions, gradient, moved, pixels};
use super::*;
use crate::attacks::test_support::{INPUT, StopAfter, context, normalisation};
use crate::data::ImageSet;
use crate::losses::{logit_l1, recovered_logits};
use crate::nets::Network;
use crate::random::{Purpose, Stream};
use crate::training::{Trained, all_logits};
use crate::victim::{Interface, LOG_FLOOR, Scale, Scripted, Victim, argmax};
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use std::path::Path;

const CLASSES: usize = 4;
const BATCH: usize = 32;
const THIEF: Dfme = Dfme { levels: 2.0 };

fn softmax(logits: [f32; CLASSES]) -> Vec<f32> {
    let sum: f32 = logits.iter().map(|z| z.exp()).sum();
    logits.iter().map(|z| z.exp() / sum).collect()
}

/// The class of the brightest quarter of an image, with probabilities.
fn brightest(pixels: &[u8]) -> Vec<f32> {
    let quarter = |q: usize| {
        let (row, column) = (q / 2 * 4, q % 2 * 4);
        let of = |i: usize| f32::from(pixels[(row + i / 4) * 8 + column + i % 4]);
        (0..16).map(of).sum::<f32>() / 16.0 / 255.0
    };
    softmax([0, 1, 2, 3].map(|q| 12.0 * quarter(q)))
}

/// An answer that has nothing to do with what the image shows.
fn at_random(pixels: &[u8]) -> Vec<f32> {
    let seed = pixels.iter().fold(0u64, |sum, p| sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*p));
    let mut stream = Stream::new(seed, Purpose::Noise, 0, 0);
    softmax([0; CLASSES].map(|_| stream.normal()))
}

fn clone() -> Network {
    let mlp: crate::nets::Architecture = "mlp".parse().expect("a name");
    mlp.build(CLASSES, INPUT, 3, &Device::flex().autodiff()).expect("fits")
}

/// A sitting that ends after `steps`; the clone if it is finished.
fn sit(victim: &dyn Victim, rounds: usize, state: &Path, steps: usize) -> Option<Box<Trained>> {
    sit_at(0.1, victim, rounds, state, steps)
}

/// The same with another learning rate of the clone.
fn sit_at(
    learning_rate: f64,
    victim: &dyn Victim,
    rounds: usize,
    state: &Path,
    steps: usize,
) -> Option<Box<Trained>> {
    let CloneTraining { optimiser, .. } = THIEF.training();
    let with = Forgery {
        recipe: "dfme",
        victim,
        clone: clone(),
        normalisation: &normalisation(),
        optimiser: &optimiser,
        learning_rate,
        batch: BATCH,
        // A part of a round is not begun.
        budget: BATCHES_ASKED * BATCH * rounds + BATCH,
        seed: 7,
        device: Device::flex(),
    };
    let mut observer = StopAfter::new(steps);
    match THIEF.forge(&with, context(state, &mut observer)).expect("it runs") {
        Outcome::Finished(trained) => Some(trained),
        Outcome::Stopped => None,
    }
}

fn stolen(victim: &dyn Victim, rounds: usize) -> Box<Trained> {
    let folder = tempfile::tempdir().expect("temp");
    sit(victim, rounds, &folder.path().join("state"), usize::MAX).expect("nobody stops it")
}

/// Share of 400 images, noise with quarters of different brightness, on which the clone says which is brightest.
fn accuracy(stolen: &Trained) -> f64 {
    let mut pixels = Vec::new();
    for image in 0..400 {
        let mut stream = Stream::new(1, Purpose::View, 0, image);
        let levels = [0; CLASSES].map(|_| stream.uniform());
        let pixel = |i: usize| levels[i / 32 * 2 + i % 8 / 4] * 0.7 + 0.3 * stream.uniform();
        pixels.extend((0..64).map(pixel).map(|p| (p * 255.0).round() as u8));
    }
    let images = ImageSet::new(8, 8, 1, pixels, vec![0; 400]);
    let clone = clone().load_state_dict(&stolen.weights).expect("its own").valid();
    let logits = all_logits(&clone, &normalisation(), &images, &Device::flex());
    let right = |(said, image): &(&[f32], &[u8])| argmax(said) == argmax(&brightest(image));
    logits.chunks_exact(CLASSES).zip(images.images()).filter(right).count() as f64 / 400.0
}

#[test]
fn it_learns_what_a_victim_knows_and_nothing_from_one_that_knows_nothing() {
    let rounds = 30;
    let victim = Scripted::new("brightest", CLASSES, Scale::Probabilities, brightest);
    let end = stolen(&victim, rounds);
    let of_one = accuracy(&end);
    assert!(of_one > 0.6, "{of_one}, guessing gives 0.25");
    let asked = (7 * BATCH * rounds) as u64;
    assert_eq!((victim.queries(), end.queries), (asked, asked), "every image is charged, and counted");
    assert_eq!((end.rows.len(), end.rows[2].step), (3, 6 * rounds));
    assert!(end.rows[2].train_loss < end.rows[0].train_loss && end.rows[2].train_accuracy > 0.25);

    let random = Scripted::new("random", CLASSES, Scale::Probabilities, at_random);
    let constant =
        Scripted::new("constant", CLASSES, Scale::Probabilities, |_: &[u8]| softmax([1.0, 2.0, 0.0, 0.0]));
    for victim in [&random as &dyn Victim, &constant] {
        let of_nothing = accuracy(&stolen(victim, rounds));
        assert!(of_nothing < 0.45, "{}: {of_nothing}", victim.identity());
    }
}

#[test]
fn a_theft_that_is_stopped_at_any_step_goes_on_to_the_same_bits() {
    let victim = || Scripted::new("brightest", CLASSES, Scale::Probabilities, brightest);
    let folder = tempfile::tempdir().expect("temp");
    let state = folder.path().join("state");
    let (stopped, mut sittings) = (victim(), 1);
    // Rounds 10 and 11 are an epoch of their own.
    let rounds = 11;
    let end = loop {
        if let Some(end) = sit(&stopped, rounds, &state, 4) {
            break end;
        }
        sittings += 1;
    };
    assert!(sittings > 10, "{sittings}");
    let whole = stolen(&victim(), rounds);
    assert!(end.weights == whole.weights, "the same bits");
    let essence = |end: &Trained| {
        end.rows.iter().map(|r| (r.step, r.train_loss, r.train_accuracy, r.learning_rate)).collect::<Vec<_>>()
    };
    assert_eq!(essence(&end), essence(&whole));
    let asked = (7 * BATCH * rounds) as u64;
    assert_eq!((stopped.queries(), end.queries, whole.queries), (asked, asked, asked), "nothing asked twice");
}

#[test]
fn the_generator_finds_images_on_which_a_clone_that_stays_as_it_is_differs_more() {
    let victim = Scripted::new("brightest", CLASSES, Scale::Probabilities, brightest);
    let folder = tempfile::tempdir().expect("temp");
    let end = sit_at(1e-12, &victim, 60, &folder.path().join("state"), usize::MAX).expect("nobody stops it");
    let losses: Vec<f64> = end.rows.iter().map(|row| row.train_loss).collect();
    assert!(losses[5] > 1.05 * losses[0], "{losses:?}");
}

#[test]
fn answers_with_zeros_are_clamped() {
    let victim = Scripted::new("brightest", CLASSES, Scale::Probabilities, brightest);
    let victim = victim.behind(Interface::TopK { k: 1 }).expect("it has probabilities");
    let end = stolen(&victim, 2);
    assert!(end.rows.iter().all(|row| row.train_loss.is_finite()));
    // The ℓ1 distance of a clone that says nothing from the recovered logits of (p, 0, 0, 0): the floor decides it.
    let floored = [0.5f32.ln(), LOG_FLOOR.ln(), LOG_FLOOR.ln(), LOG_FLOOR.ln()];
    let device = Device::flex();
    let row = Tensor::<2>::from_data(TensorData::new(floored.to_vec(), [1, CLASSES]), &device);
    let loss = logit_l1(row.zeros_like(), recovered_logits(row)).into_scalar::<f32>();
    let apart = 0.5f32.ln() - LOG_FLOOR.ln();
    assert!((loss - apart * 6.0 / 16.0).abs() < 1e-4, "{loss}");
}

#[test]
fn a_round_of_the_published_batch_is_1792_queries() {
    let CloneTraining { batch, learning_rate, .. } = THIEF.training();
    let extent = |budget| THIEF.extent(budget, batch);
    assert_eq!((extent(1_792).queries, extent(1_792).steps, extent(1_791).queries), (1_792, 5, 0));
    let most = extent(THIEF.least());
    assert_eq!((most.queries, most.steps, most.epochs), (999_936, 2_790, 56));
    assert_eq!((most.trained.clone, most.trained.maker), (2_790 * 256, 558 * 256));
    assert_eq!((batch, learning_rate), (256, 0.1));
}

#[test]
fn pixels_are_those_of_tanh_and_move_by_the_levels_asked_for() {
    assert_eq!(pixels(&[0.0, 1.0, -1.0, 9.0, -9.0]), [128, 225, 30, 255, 0]);
    let directions = directions(1, 2, 5, 300);
    for direction in directions.chunks_exact(300) {
        let square: f32 = direction.iter().map(|u| u * u).sum();
        assert!((square - 300.0).abs() < 0.01, "{square}");
    }
    assert_ne!(directions[..300], directions[300..600]);
    assert_eq!(directions, super::differences::directions(1, 2, 5, 300));
    let grey: Vec<f32> = (0..1500).map(|i| (i % 100) as f32 / 12_750.0).collect();
    for levels in [2.0, 6.0] {
        let (here, there) = (pixels(&grey), pixels(&moved(&grey, &directions, levels)));
        let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
        let rms = (here.iter().zip(&there).map(square).sum::<f64>() / 1500.0).sqrt();
        assert!((rms - levels).abs() < 0.1 * levels, "{rms} of {levels}");
    }
}

/// The mean of many estimates points where the function rises, in spite of pixels of 8 bits.
#[test]
fn the_estimated_gradient_is_the_true_one() {
    const EACH: usize = 16;
    const TIMES: usize = 4_000;
    let made: Vec<f32> = (0..EACH).map(|i| (i * 37 % 17) as f32 / 8.0 - 1.0).collect();
    let weight = |i: usize| f64::from((i * 29 % 13) as f32 / 6.0 - 1.0);
    // Smooth, and curved: a sine of a sum over tanh x.
    let sum = |x: &dyn Fn(usize) -> f64| (0..EACH).map(|i| weight(i) * x(i)).sum::<f64>();
    let here = |i: usize| f64::from(made[i].tanh());
    let truth: Vec<f64> = (0..EACH).map(|i| sum(&here).cos() * weight(i) * (1.0 - here(i).powi(2))).collect();
    let f = |pixels: &[u8]| sum(&|i: usize| f64::from(pixels[i]) / 127.5 - 1.0).sin();

    let all = made.repeat(TIMES);
    let directions = directions(3, 0, TIMES, EACH);
    let (before, after) = (pixels(&all), pixels(&moved(&all, &directions, 2.0)));
    let rises: Vec<f64> =
        before.chunks(EACH).zip(after.chunks(EACH)).map(|(before, after)| f(after) - f(before)).collect();
    let estimates = gradient(&directions, 2.0, &rises);
    let mean =
        |i: usize| estimates.iter().skip(i).step_by(EACH).map(|g| f64::from(*g)).sum::<f64>() / TIMES as f64;
    let mean: Vec<f64> = (0..EACH).map(mean).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let cosine = dot(&mean, &truth) / (dot(&mean, &mean) * dot(&truth, &truth)).sqrt();
    assert!(cosine > 0.97, "{cosine}: {mean:?} {truth:?}");
    let length = (dot(&mean, &mean) / dot(&truth, &truth)).sqrt();
    assert!((0.8..1.25).contains(&length), "{length}");
}

#[test]
fn images_that_cannot_be_made_are_refused() {
    let misfit = |channels, side| THIEF.misfit(Input { channels, side });
    assert_eq!((misfit(3, 32), misfit(1, 28), misfit(3, 64)), (None, None, None));
    assert!(misfit(3, 224).expect("too large").contains("up to 64 pixels"));
    assert!(misfit(3, 30).expect("no quarter").contains("multiple of 4"));
    assert!(Dfme { levels: 0.0 }.problem().expect("no step").contains("levels"));
}
