//! The one training loop. It can stop after any batch and go on to the same bits.

use super::checkpoint::{self, Position, State, StateError};
use super::evaluate::{all_logits, argmax, evaluate};
use super::frozen::{Frozen, host};
use super::optimiser::clip_global_norm;
use super::recipe::{Keep, Parity, Recipe};
use crate::data::{Batch, Epoch, ImageSet, Normalisation, epoch_batches};
use crate::nets::{Dropping, NamedTensor, NetError, Network, Precision};
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Bytes, Device, Int, Tensor, TensorData};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Within an epoch the state is saved this often.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// Sums over the batches of an epoch under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    /// Sum over images of the objective.
    pub loss: f64,
    /// Images classified right, in training mode on augmented views.
    pub correct: usize,
    /// Images.
    pub seen: usize,
}

/// What one epoch gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// 0-based.
    pub epoch: usize,
    /// Steps done at its end.
    pub step: usize,
    /// Learning rate of its last step.
    pub learning_rate: f64,
    /// Mean of the objective over its images.
    pub train_loss: f64,
    /// Accuracy on the augmented training images, in training mode.
    pub train_accuracy: f64,
    /// On the images that choose the epoch: held-out ones, or (published parity) the test set.
    pub selection: Option<Selection>,
    /// Seconds of work up to its end.
    pub seconds: f64,
}

/// How an epoch did on the images that choose the epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Accuracy; with published parity, averaged over unequal batches.
    pub accuracy: f64,
    /// Mean cross entropy, nats.
    pub loss: f64,
}

/// Who watches a run, and may stop it.
pub trait Observer: Send {
    /// Called after every batch: 0-based `epoch`, `batch` batches done of `batches`, and the last batch's loss.
    fn batch(&mut self, epoch: usize, batch: usize, batches: usize, loss: f64);
    /// Called after every epoch, once its state is saved.
    fn epoch(&mut self, row: &EpochRow, epochs: usize);
    /// Whether to save the state and stop now.
    fn stop(&self) -> bool;
    /// Called once at the start, with the epochs that an earlier sitting finished.
    fn resumed(&mut self, _rows: &[EpochRow]) {}
}

/// A run that cannot go on.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum TrainError {
    /// The loss is NaN or infinite.
    #[error("the loss became {loss} at epoch {epoch}, step {step} of recipe {recipe}")]
    #[diagnostic(help("{advice}"))]
    NotFinite {
        /// The loss.
        loss: f64,
        /// 0-based.
        epoch: usize,
        /// 0-based, over all epochs.
        step: usize,
        /// The recipe's hash.
        recipe: String,
        /// What to try.
        advice: String,
    },
    /// The state cannot be saved or read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    State(#[from] StateError),
    /// The saved weights do not fit.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Network(#[from] NetError),
}

/// How a call of [`Trainer::run`] ended.
pub enum Outcome {
    /// All epochs are done: the chosen weights and the course of the run.
    Finished(Vec<NamedTensor>, Position),
    /// Stopped on request, with the state saved.
    Stopped,
}

/// What a training run works on, beside its recipe.
pub struct Trainer<'a> {
    /// What to do.
    pub recipe: &'a Recipe,
    /// Images to train on.
    pub train: Arc<ImageSet>,
    /// Images that every epoch is tried on, to keep the best; the last epoch is kept if there are none.
    pub selection: Option<&'a ImageSet>,
    /// Of the pixels.
    pub normalisation: &'a Normalisation,
    /// The network that the objective asks.
    pub frozen: Option<Frozen>,
    /// Without autodiff.
    pub device: Device,
    /// Where the state is kept.
    pub state_file: &'a Path,
}

struct Progress {
    network: Network,
    optimiser: ModuleOptimizer,
    best: Option<Vec<NamedTensor>>,
    position: Position,
}

impl Trainer<'_> {
    /// Trains `network` (built for this recipe on the autodiff device), from the saved state if there is one.
    pub fn run(self, network: Network, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
        let hash = self.recipe.hash();
        let mut progress = self.start_or_resume(network, &hash)?;
        let batches = self.train.len().div_ceil(self.recipe.batch);
        observer.resumed(&progress.position.rows);
        let earlier = progress.position.seconds;
        let begun = Instant::now();
        while progress.position.epoch < self.recipe.epochs {
            let epoch = progress.position.epoch;
            let mut saved = Instant::now();
            let plan = Epoch {
                seed: self.recipe.seed,
                epoch: epoch as u64,
                batch_size: self.recipe.batch,
                start_batch: progress.position.batch,
            };
            for batch in
                epoch_batches(self.train.clone(), self.normalisation, &self.recipe.augmentation, plan)
            {
                // A batch of one image has no batch statistics; it is passed over, as it must be in any framework.
                if batch.labels.len() > 1 {
                    let step = epoch * batches + progress.position.batch;
                    progress = self.step(progress, batch, step, batches, &hash)?;
                }
                progress.position.batch += 1;
                let partial = progress.position.partial;
                observer.batch(
                    epoch,
                    progress.position.batch,
                    batches,
                    partial.loss / partial.seen.max(1) as f64,
                );
                let unfinished = progress.position.batch < batches;
                if unfinished && (observer.stop() || saved.elapsed() > SAVE_EVERY) {
                    progress.position.seconds = earlier + begun.elapsed().as_secs_f64();
                    self.save(&progress, &hash)?;
                    saved = Instant::now();
                    if observer.stop() {
                        return Ok(Outcome::Stopped);
                    }
                }
            }
            let row = self.finish_epoch(&mut progress, batches);
            progress.position.seconds = earlier + begun.elapsed().as_secs_f64();
            let row = EpochRow { seconds: progress.position.seconds, ..row };
            progress.position.rows.push(row.clone());
            progress.position.epoch += 1;
            progress.position.batch = 0;
            progress.position.partial = Partial::default();
            self.save(&progress, &hash)?;
            observer.epoch(&row, self.recipe.epochs);
            if observer.stop() && progress.position.epoch < self.recipe.epochs {
                return Ok(Outcome::Stopped);
            }
        }
        let last = progress.network.state_dict();
        Ok(Outcome::Finished(progress.best.unwrap_or(last), progress.position))
    }

    fn start_or_resume(&self, network: Network, hash: &str) -> Result<Progress, TrainError> {
        let optimiser = self.recipe.optimiser.build();
        let Some(state) = checkpoint::load(self.state_file, hash, &network.state_dict())? else {
            return Ok(Progress { network, optimiser, best: None, position: Position::default() });
        };
        let damaged = |e: &dyn std::fmt::Display| StateError::Unreadable {
            path: PathBuf::from(self.state_file),
            recipe: hash.to_owned(),
            found: format!("an optimiser record that cannot be read ({e})"),
        };
        Ok(Progress {
            network: network.load_state_dict(&state.network)?,
            optimiser: optimiser
                .from_bytes(Bytes::from_bytes_vec(state.optimiser))
                .map_err(|e| damaged(&e))?,
            best: state.best,
            position: state.position,
        })
    }

    fn step(
        &self,
        progress: Progress,
        batch: Batch,
        step: usize,
        batches: usize,
        hash: &str,
    ) -> Result<Progress, TrainError> {
        let Progress { network, mut optimiser, best, mut position } = progress;
        let recipe = self.recipe;
        let device = self.device.clone().autodiff();
        let count = batch.labels.len();
        let shape = [count, self.train.height, self.train.width, self.train.channels];
        let images = Tensor::<4>::from_data(TensorData::new(batch.pixels, shape), &device);
        let labels: Vec<i32> = batch.labels.iter().map(|&l| i32::from(l)).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [count]), &device);
        let frozen = self.frozen.as_ref().map(|frozen| {
            let items: Vec<_> = batch.indices.iter().copied().zip(batch.views.iter().copied()).collect();
            let classes = frozen.classes();
            Tensor::<2>::from_data(TensorData::new(frozen.logits(&items), [count, classes]), &device)
        });

        let logits = network.forward_dropping(images, Dropping::new(recipe.seed, step as u64));
        let answers = host(logits.clone());
        let loss = recipe.objective.loss(logits, frozen, labels);
        let value = f64::from(loss.clone().into_scalar::<f32>());
        if !value.is_finite() {
            let (loss, epoch, recipe_hash) = (value, position.epoch, hash.to_owned());
            return Err(TrainError::NotFinite {
                loss,
                epoch,
                step,
                recipe: recipe_hash,
                advice: advice(recipe),
            });
        }
        let mut gradients = GradientsParams::from_grads(loss.backward(), &network);
        if let Some(limit) = recipe.clip_norm {
            clip_global_norm(&network, &mut gradients, limit);
        }
        let rate =
            recipe.schedule.rate(recipe.learning_rate, recipe.warmup, step, batches, batches * recipe.epochs);
        let network = optimiser.step(rate, network, gradients);

        position.partial.loss += value * count as f64;
        position.partial.seen += count;
        let right = |(row, &label): (&[f32], &u16)| argmax(row) == usize::from(label);
        let classes = answers.len() / count;
        position.partial.correct +=
            answers.chunks_exact(classes).zip(&batch.labels).filter(|p| right(*p)).count();
        Ok(Progress { network, optimiser, best, position })
    }

    /// Evaluates the epoch that just ended and keeps its weights if they are the best so far.
    fn finish_epoch(&self, progress: &mut Progress, batches: usize) -> EpochRow {
        let Progress { network, best, position, .. } = progress;
        let recipe = self.recipe;
        let selection = self.selection.map(|images| {
            let logits = all_logits(
                &network.valid().with_precision(Precision::F32),
                self.normalisation,
                images,
                &self.device,
            );
            let e = evaluate(&logits, &images.labels, network.classes());
            let accuracy = match recipe.parity {
                Parity::Exact => e.accuracy,
                Parity::Published => e.batch_averaged_accuracy,
            };
            Selection { accuracy, loss: e.loss }
        });
        if let Some(now) = selection.as_ref().filter(|_| recipe.keep == Keep::Best) {
            let before = position.best_epoch.and_then(|e| position.rows[e].selection.as_ref());
            if before.is_none_or(|before| now.accuracy > before.accuracy) {
                *best = Some(network.state_dict());
                position.best_epoch = Some(position.epoch);
            }
        }
        let step = (position.epoch + 1) * batches;
        let seen = position.partial.seen.max(1) as f64;
        EpochRow {
            epoch: position.epoch,
            step,
            learning_rate: recipe.schedule.rate(
                recipe.learning_rate,
                recipe.warmup,
                step - 1,
                batches,
                batches * recipe.epochs,
            ),
            train_loss: position.partial.loss / seen,
            train_accuracy: position.partial.correct as f64 / seen,
            selection,
            seconds: 0.0,
        }
    }

    fn save(&self, progress: &Progress, hash: &str) -> Result<(), TrainError> {
        let optimiser =
            progress.optimiser.into_bytes().expect("an optimiser record in memory can be written");
        let state = State {
            network: progress.network.state_dict(),
            best: progress.best.clone(),
            optimiser: optimiser.to_vec(),
            position: progress.position.clone(),
        };
        Ok(checkpoint::save(self.state_file, hash, &state)?)
    }
}

/// What to try when the loss is not finite.
fn advice(recipe: &Recipe) -> String {
    let mut tries = Vec::new();
    if recipe.objective.name() == "self-undermining" {
        tries.push("a smaller objective.omega (ω·τ²·KL outweighs the cross entropy)".to_owned());
    }
    if recipe.clip_norm.is_none() {
        tries.push("clip_norm=1".to_owned());
    }
    tries.push(format!("a smaller learning_rate (now {})", recipe.learning_rate));
    format!("try {}; the state before this epoch's last save is kept", tries.join(", or "))
}
