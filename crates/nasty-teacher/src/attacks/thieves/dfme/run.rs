//! One step and one epoch of DFME. A round is a step of the generator and several of the clone. It can stop after any step and resume
//! bit-identically.

use super::differences::{directions, gradient, moved, pixels};
use super::{CLONE_STEPS, EPOCH, LATENT, WIDTH, rounds};
use crate::attacks::noise::{normal, value};
use crate::attacks::thieves::forger::Forgery;
use crate::data::ImageSet;
use crate::losses::{logit_l1, recovered_logits};
use crate::nets::{Dropping, Generator, Input, Mode, Network, host};
use crate::random::Purpose;
use crate::training::context::{At, Ended, Fault, Finish, RunContext, Work, finite, record, restore};
use crate::training::state_file::{Parts, Saved};
use crate::training::{EpochRow, Optimiser, Outcome, TrainError, Trained, all_logits};
use crate::victim::{LOG_FLOOR, Request, argmax};
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// Adam's learning rate for the generator.
const GENERATOR_RATE: f64 = 1e-4;
/// What the learning rates are multiplied by, after these tenths of the rounds.
const FACTOR: f64 = 0.3;
const MILESTONES: [usize; 3] = [1, 3, 5];
/// Steps of a round.
const STEPS: usize = 1 + CLONE_STEPS;

/// Trains a clone; see [`Dfme`](super::Dfme).
pub(super) fn forge(with: &Forgery<'_>, levels: f64, context: RunContext<'_>) -> Result<Outcome, TrainError> {
    let mut work = Forging { with, levels, rounds: rounds(with.budget, with.batch) };
    let Ended::Finished(progress, finish) = context.carry_out(with.recipe, &mut work)? else {
        return Ok(Outcome::Stopped);
    };
    let Finish { rows, seconds, provenance, end } = finish;
    Ok(Outcome::Finished(Box::new(Trained {
        weights: progress.clone.state_dict(),
        epoch: work.epochs() - 1,
        start_kept: false,
        rows,
        queries: progress.position.queries,
        seconds,
        provenance,
        end,
    })))
}

/// A theft under way.
struct Forging<'a> {
    with: &'a Forgery<'a>,
    levels: f64,
    rounds: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Position {
    /// Images asked about.
    queries: u64,
    /// The sum of the clone's losses in the epoch under way.
    loss: f64,
    /// Images of that epoch on which the clone predicted what the victim served.
    agreed: usize,
}

struct Progress {
    generator: Generator,
    clone: Network,
    generator_optimiser: ModuleOptimizer,
    clone_optimiser: ModuleOptimizer,
    position: Position,
}

impl Forging<'_> {
    /// One step of the generator, towards a larger difference between clone and victim.
    fn improve(&self, progress: Progress, step: usize) -> Result<Progress, Fault> {
        let Progress { generator, clone, mut generator_optimiser, clone_optimiser, mut position } = progress;
        let Forgery { seed, batch, device, .. } = self.with;
        let device = device.clone().autodiff();
        let made = generator.forward(self.noise(step, &device), Mode::Train);
        let shape = made.dims();
        let numbers = host(made.clone());
        let directions = directions(*seed, step as u64, *batch, numbers.len() / batch);
        let here = pixels(&numbers);
        let there = pixels(&moved(&numbers, &directions, self.levels));
        let watched = clone.valid();
        let before = self.differences(&watched, &here)?;
        let after = self.differences(&watched, &there)?;
        position.queries += 2 * *batch as u64;
        let rises: Vec<f64> = before.iter().zip(&after).map(|(before, after)| after - before).collect();
        let gradient = gradient(&directions, self.levels, &rises);
        let gradient = Tensor::<4>::from_data(TensorData::new(gradient, shape), &device);
        // A function whose gradient by the images is the estimate. Adam goes down, the difference should go up.
        let descent = (made * gradient).sum().mul_scalar(-1.0 / *batch as f64);
        let gradients = GradientsParams::from_grads(descent.backward(), &generator);
        let rate = GENERATOR_RATE * self.share(step);
        let generator = generator_optimiser.step(rate, generator, gradients);
        Ok(Progress { generator, clone, generator_optimiser, clone_optimiser, position })
    }

    /// One step of the clone, towards the victim's answers. Beside the new state its loss.
    fn imitate(&self, progress: Progress, step: usize) -> Result<(Progress, f64), Fault> {
        let Progress { generator, clone, generator_optimiser, mut clone_optimiser, mut position } = progress;
        let Forgery { seed, batch, device, .. } = self.with;
        // In training mode, whose statistics are those of the batch; a copy, so that the generator stays as it is.
        let pixels = pixels(&host(generator.valid().forward(self.noise(step, device), Mode::Train)));
        let rows = self.answers(&pixels)?;
        position.queries += *batch as u64;
        let device = device.clone().autodiff();
        let logits = clone.forward_dropping(self.seen(&pixels, &device), Dropping::new(*seed, step as u64));
        let classes = clone.classes();
        let said = host(logits.clone());
        let pairs = said.chunks_exact(classes).zip(rows.chunks_exact(classes));
        position.agreed += pairs.filter(|(clone, victim)| argmax(clone) == argmax(victim)).count();
        let answers = Tensor::<2>::from_data(TensorData::new(rows, [*batch, classes]), &device);
        let loss = logit_l1(logits, recovered_logits(answers));
        let shown = value(loss.clone());
        finite("loss", shown, || self.advice())?;
        position.loss += shown;
        let gradients = GradientsParams::from_grads(loss.backward(), &clone);
        let clone = clone_optimiser.step(self.rate(step), clone, gradients);
        Ok((Progress { generator, clone, generator_optimiser, clone_optimiser, position }, shown))
    }

    /// The victim's answers to images of `pixels`, as log-rows `[batch, classes]`.
    fn answers(&self, pixels: &[u8]) -> Result<Vec<f32>, TrainError> {
        Ok(self.with.victim.ask(&Request::unchanged(&self.images(pixels)))?.log_rows(LOG_FLOOR))
    }

    /// How much `clone` and the victim differ on each of the images of `pixels`: `[batch]`.
    fn differences(&self, clone: &Network, pixels: &[u8]) -> Result<Vec<f64>, TrainError> {
        let rows = self.answers(pixels)?;
        let said = all_logits(clone, self.with.normalisation, &self.images(pixels), &self.with.device);
        let classes = clone.classes();
        let difference = |(said, row): (&[f32], &[f32])| {
            let mean = row.iter().map(|l| f64::from(*l)).sum::<f64>() / classes as f64;
            let apart = |(s, l): (&f32, &f32)| (f64::from(*s) - (f64::from(*l) - mean)).abs();
            said.iter().zip(row).map(apart).sum::<f64>() / classes as f64
        };
        Ok(said.chunks_exact(classes).zip(rows.chunks_exact(classes)).map(difference).collect())
    }

    fn images(&self, pixels: &[u8]) -> ImageSet {
        let Input { channels, side } = self.with.clone.input();
        ImageSet::new(side, side, channels, pixels.to_vec(), vec![0; self.with.batch])
    }

    /// Images of `pixels` as the clone takes them.
    fn seen(&self, pixels: &[u8], device: &Device) -> Tensor<4> {
        let tables = self.with.normalisation.tables();
        let Input { channels, side } = self.with.clone.input();
        let number = |(i, byte): (usize, &u8)| tables[i % channels][usize::from(*byte)];
        let numbers: Vec<f32> = pixels.iter().enumerate().map(number).collect();
        Tensor::from_data(TensorData::new(numbers, [self.with.batch, side, side, channels]), device)
    }

    fn noise(&self, step: usize, device: &Device) -> Tensor<2> {
        let Forgery { seed, batch, .. } = *self.with;
        let noise = normal(Purpose::Noise, seed, step as u64, batch, LATENT);
        Tensor::from_data(TensorData::new(noise, [batch, LATENT]), device)
    }

    /// What the learning rates are multiplied by.
    fn share(&self, step: usize) -> f64 {
        let round = step / STEPS;
        let passed = MILESTONES.iter().filter(|&&tenths| 10 * round >= tenths * self.rounds).count();
        FACTOR.powi(passed as i32)
    }

    /// The clone's learning rate.
    fn rate(&self, step: usize) -> f64 {
        self.with.learning_rate * self.share(step)
    }

    /// Rounds of an epoch; the last one may have fewer.
    fn rounds_of(&self, epoch: usize) -> usize {
        EPOCH.min(self.rounds - epoch * EPOCH)
    }
}

impl Work for Forging<'_> {
    type State = Progress;
    type Position = Position;

    fn epochs(&self) -> usize {
        self.rounds.div_ceil(EPOCH)
    }

    fn steps(&self, epoch: usize) -> usize {
        STEPS * self.rounds_of(epoch)
    }

    fn fresh(&mut self) -> Result<Progress, TrainError> {
        let Forgery { clone, optimiser, seed, device, .. } = self.with;
        let device = device.clone().autodiff();
        Ok(Progress {
            generator: Generator::before_tanh(LATENT, WIDTH, clone.input(), *seed, &device)?,
            clone: clone.clone(),
            generator_optimiser: Optimiser::Adam { weight_decay: 0.0 }.build(),
            clone_optimiser: optimiser.build(),
            position: Position::default(),
        })
    }

    fn resume(&mut self, saved: &Saved<Position>) -> Result<Progress, TrainError> {
        let Progress { generator, clone, generator_optimiser, clone_optimiser, .. } = self.fresh()?;
        let (like, like_generator) = (clone.state_dict(), generator.state_dict());
        Ok(Progress {
            generator_optimiser: restore(generator_optimiser, saved, "generator-optimiser")?,
            clone_optimiser: restore(clone_optimiser, saved, "clone-optimiser")?,
            clone: clone.load_state_dict(&saved.group("clone", &like)?)?,
            generator: generator.load_state_dict(&saved.group("generator", &like_generator)?)?,
            position: saved.position.clone(),
        })
    }

    fn parts(&self, progress: &Progress) -> Parts<Position> {
        Parts {
            position: progress.position.clone(),
            groups: vec![
                ("clone", progress.clone.state_dict()),
                ("generator", progress.generator.state_dict()),
            ],
            records: vec![
                ("generator-optimiser", record(&progress.generator_optimiser)),
                ("clone-optimiser", record(&progress.clone_optimiser)),
            ],
        }
    }

    fn step(&mut self, progress: Progress, at: At) -> Result<(Progress, f64), Fault> {
        let step = at.epoch * EPOCH * STEPS + at.step;
        if step.is_multiple_of(STEPS) {
            let progress = self.improve(progress, step)?;
            let done = at.step / STEPS * CLONE_STEPS;
            let shown = progress.position.loss / done.max(1) as f64;
            return Ok((progress, shown));
        }
        self.imitate(progress, step)
    }

    fn end_epoch(&mut self, progress: &mut Progress, epoch: usize) -> Result<EpochRow, Fault> {
        let position = &mut progress.position;
        let steps = (self.rounds_of(epoch) * CLONE_STEPS) as f64;
        let (loss, agreed) = (std::mem::take(&mut position.loss), std::mem::take(&mut position.agreed));
        let step = epoch * EPOCH * STEPS + self.steps(epoch);
        Ok(EpochRow {
            epoch,
            step,
            learning_rate: self.rate(step - 1),
            train_loss: loss / steps,
            train_accuracy: agreed as f64 / (steps * self.with.batch as f64),
            selection: None,
            seconds: 0.0,
        })
    }

    fn advice(&self) -> String {
        format!("try a smaller learning_rate (now {:?})", self.with.learning_rate)
    }
}
