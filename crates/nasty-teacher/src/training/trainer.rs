//! One step and one epoch of the training loop. It can stop after any batch and resume bit-identically.

use super::context::{At, Ended, Fault, Finish, RunContext, RunEnd, Work, finite, record, restore};
use super::course::{EpochRow, Selection};
use super::error::TrainError;
use super::evaluate::{all_logits, ask_all, evaluate, mean_scaled_kl};
use super::heads::{Heads, Layers, turned};
use super::objective::{HeadLogits, Loss, LossInput, Turned};
use super::optimiser::clip_global_norm;
use super::recipe::{Keep, Parity, Recipe};
use super::state_file::{Parts, Saved};
use super::watch::{Judged, Watch};
use crate::data::{Batch, Epoch, EpochBatches, ImageSet, Normalisation, epoch_batches};
use crate::nets::host;
use crate::nets::{Dropping, NamedTensor, Network, Precision};
use crate::numerics::Provenance;
use crate::victim::{Origin, Request, Victim, argmax};
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a training run works on, beside its recipe.
pub struct Trainer<'a> {
    /// What to do.
    pub recipe: &'a Recipe,
    /// Images to train on.
    pub train: Arc<ImageSet>,
    /// Where they come from, as the victim knows them.
    pub origin: Option<Origin<'a>>,
    /// Images without labels and answers, for an objective that learns from how they are turned; `train`, if there are none.
    pub unlabelled: Option<&'a ImageSet>,
    /// Images that every epoch is tried on, to keep the best; the last epoch is kept if there are none.
    pub selection: Option<&'a ImageSet>,
    /// Of the pixels.
    pub normalisation: &'a Normalisation,
    /// Whom the objective asks, where it [asks](Loss::victim) at all.
    pub victim: Option<&'a dyn Victim>,
    /// Probabilities below this count as this; usually [`LOG_FLOOR`](crate::victim::LOG_FLOOR).
    pub floor: f32,
    /// Without autodiff.
    pub device: Device,
}

/// How a call of [`Trainer::run`] ended.
pub enum Outcome {
    /// All epochs are done.
    Finished(Box<Trained>),
    /// Stopped on request, with the state saved.
    Stopped,
}

/// What a finished run gives.
pub struct Trained {
    /// The chosen weights.
    pub weights: Vec<NamedTensor>,
    /// 0-based epoch that they are of.
    pub epoch: usize,
    /// Whether they are those that the run began with: every epoch lost too much accuracy.
    pub start_kept: bool,
    /// Every epoch.
    pub rows: Vec<EpochRow>,
    /// Images that the victim was asked about.
    pub queries: u64,
    /// Seconds of work, over all sittings.
    pub seconds: f64,
    /// What it was made from and with.
    pub provenance: Provenance,
    /// Where it ended.
    pub end: RunEnd,
}

/// Sums over the batches of an epoch under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Partial {
    /// Sum over images of the objective.
    loss: f64,
    /// Images classified right, in training mode on augmented views.
    correct: usize,
    /// Images.
    seen: usize,
}

/// The best epoch so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Best {
    epoch: usize,
    accuracy: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Position {
    partial: Partial,
    best: Option<Best>,
    queries: u64,
    #[serde(default)]
    watch: Option<Watch>,
}

struct Progress {
    network: Network,
    optimiser: ModuleOptimizer,
    heads: Option<Heads>,
    /// Weights of the best epoch so far.
    best: Option<Vec<NamedTensor>>,
    position: Position,
}

/// A run under way.
struct Training<'a> {
    trainer: &'a Trainer<'a>,
    /// The untrained network, until the work begins.
    network: Option<Network>,
    /// The rest of the epoch.
    batches: Option<EpochBatches>,
    /// The adversary's answers to the selecting images, where undermining is watched.
    adversary: Option<Vec<f32>>,
}

impl Trainer<'_> {
    /// Trains `network` (built for this recipe on the autodiff device), from the saved state if there is one.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] if the loss, the loss on the selecting images or a weight is NaN or infinite;
    /// [`TrainError::State`]; [`TrainError::Victim`] if the victim does not answer.
    pub fn run(&self, network: Network, context: RunContext<'_>) -> Result<Outcome, TrainError> {
        let adversary = self.answers_to_selection()?;
        let mut work = Training { trainer: self, network: Some(network), batches: None, adversary };
        let Ended::Finished(progress, finish) = context.carry_out(&self.recipe.hash(), &mut work)? else {
            return Ok(Outcome::Stopped);
        };
        let Progress { network, best, position, .. } = progress;
        let Finish { rows, seconds, provenance, end } = finish;
        Ok(Outcome::Finished(Box::new(Trained {
            weights: best.unwrap_or_else(|| network.state_dict()),
            epoch: position.best.map_or(self.recipe.epochs - 1, |best| best.epoch),
            start_kept: position.watch.is_some_and(|watch| watch.keeps_start()),
            rows,
            queries: position.queries,
            seconds,
            provenance,
            end,
        })))
    }

    fn batches(&self) -> usize {
        self.train.len().div_ceil(self.recipe.batch)
    }

    /// The learning rate at a step, counted over all epochs.
    fn rate(&self, step: usize) -> f64 {
        let Recipe { schedule, learning_rate, warmup, epochs, .. } = self.recipe;
        schedule.rate(*learning_rate, *warmup, step, self.batches(), self.batches() * epochs)
    }

    /// The victim's answers to the views of a batch as log-rows `[batch, classes]`.
    fn answers(&self, batch: &Batch) -> Result<Option<Vec<f32>>, TrainError> {
        let Some(victim) = self.victim else { return Ok(None) };
        let items = batch.indices.iter().copied().zip(batch.views.iter().copied()).collect();
        let request = Request::views(&self.train, &self.recipe.augmentation, items).from(self.origin);
        Ok(Some(victim.ask(&request)?.log_rows(self.floor)))
    }

    /// The victim's answers to the images that choose the epoch, where undermining is watched.
    fn answers_to_selection(&self) -> Result<Option<Vec<f32>>, TrainError> {
        let (Some(_), Some(victim), Some(images)) =
            (self.recipe.objective.guard(), self.victim, self.selection)
        else {
            return Ok(None);
        };
        Ok(Some(ask_all(victim, images, None)?.log_rows(self.floor)))
    }

    fn train_on(&self, progress: Progress, batch: Batch, at: At) -> Result<Progress, Fault> {
        let Progress { network, mut optimiser, heads, best, mut position } = progress;
        let recipe = self.recipe;
        let device = self.device.clone().autodiff();
        let count = batch.labels.len();
        let rows = self.answers(&batch)?;
        position.queries += if rows.is_some() { count as u64 } else { 0 };
        let answers = rows.clone().map(|rows| {
            let shape = [count, rows.len() / count];
            Tensor::from_data(TensorData::new(rows, shape), &device)
        });
        // Networks take squares; what is not one, they refuse.
        let side = recipe.side(self.train.height, at.epoch);
        let width = if side == self.train.height { self.train.width } else { side };
        let shape = [count, side, width, self.train.channels];
        let images = Tensor::<4>::from_data(TensorData::new(batch.pixels, shape), &device);
        let labels: Vec<i32> = batch.labels.iter().map(|&l| i32::from(l)).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [count]), &device);

        let step = at.epoch * self.batches() + at.step;
        let full = network.input().side;
        let network = if side == full { network } else { network.at_side(side)? };
        let dropping = Dropping::new(recipe.seed, step as u64);
        let (logits, said) = match heads.as_ref().map(|heads| &heads.layers) {
            None => (network.forward_dropping(images, dropping), HeadLogits::None),
            Some(Layers::Exits(exits)) => {
                let (logits, exits) = exits.forward(&network, images, dropping);
                (logits, HeadLogits::Exits(Box::new(exits)))
            }
            Some(Layers::Turns(head)) => {
                let pool = self.unlabelled.unwrap_or(&self.train);
                let address = (recipe.seed, step as u64);
                let (pixels, turns) = turned(pool, self.normalisation, &recipe.augmentation, address, count);
                let pixels = Tensor::from_data(TensorData::new(pixels, shape), &device);
                let turns = Tensor::from_data(TensorData::new(turns, [count]), &device);
                // Before the images that the answers belong to, which the running statistics then weigh more.
                let logits = head.forward(&network, pixels, dropping);
                (
                    network.forward_dropping(images, dropping),
                    HeadLogits::Turned(Box::new(Turned { logits, turns })),
                )
            }
        };
        let seen = host(logits.clone());
        if let (Some(watch), Some(rows), Some(temperature)) =
            (&mut position.watch, &rows, recipe.objective.temperature())
        {
            watch.see(mean_scaled_kl(&seen, rows, network.classes(), temperature));
        }
        let undermining = match (recipe.objective.guard(), &position.watch) {
            (Some(guard), Some(watch)) => watch.factor(guard),
            _ => 1.0,
        };
        let (epoch, epochs) = (at.epoch, recipe.epochs);
        let input = LossInput { logits, answers, labels, epoch, epochs, undermining, heads: said };
        let loss = recipe.objective.loss(input);
        let value = f64::from(loss.clone().into_scalar::<f32>());
        finite("loss", value, || advice(recipe))?;
        let mut all = loss.backward();
        let mut gradients = GradientsParams::from_module(&mut all, &network);
        if let Some(limit) = recipe.clip_norm {
            clip_global_norm(&network, &mut gradients, limit);
        }
        let rate = self.rate(step);
        let network = optimiser.step(rate, network, gradients);
        let network = if side == full { network } else { network.at_side(full)? };
        let heads = heads.map(|heads| heads.step(rate, &mut all));

        position.partial.loss += value * count as f64;
        position.partial.seen += count;
        let right = |(row, &label): (&[f32], &u16)| argmax(row) == usize::from(label);
        let classes = seen.len() / count;
        position.partial.correct +=
            seen.chunks_exact(classes).zip(&batch.labels).filter(|p| right(*p)).count();
        Ok(Progress { network, optimiser, heads, best, position })
    }

    /// How the network does on the images that choose the epoch, whose answers by the adversary are `adversary` where
    /// undermining is watched.
    fn select(&self, network: &Network, adversary: Option<&[f32]>) -> Option<Selection> {
        let images = self.selection?;
        let network = network.valid().with_precision(Precision::F32);
        let logits = all_logits(&network, self.normalisation, images, &self.device);
        let e = evaluate(&logits, &images.labels, network.classes());
        let test = self.recipe.parity == Parity::Published;
        let accuracy = if test { e.batch_averaged_accuracy } else { e.accuracy };
        let temperature = self.recipe.objective.temperature().unwrap_or(1.0);
        let distance = |rows: &[f32]| mean_scaled_kl(&logits, rows, network.classes(), temperature);
        Some(Selection { accuracy, loss: e.loss, test, scaled_kl: adversary.map(distance), undone: false })
    }
}

impl Work for Training<'_> {
    type State = Progress;
    type Position = Position;

    fn epochs(&self) -> usize {
        self.trainer.recipe.epochs
    }

    fn steps(&self, _: usize) -> usize {
        self.trainer.batches()
    }

    fn fresh(&mut self) -> Result<Progress, TrainError> {
        let network = self.network.take().expect("work begins once");
        let optimiser = self.trainer.recipe.optimiser.build();
        let Trainer { recipe, device, .. } = self.trainer;
        let head =
            |kind| Heads::new(kind, &network, recipe.seed, &recipe.optimiser, &device.clone().autodiff());
        let heads = recipe.objective.heads().map(head).transpose()?;
        let mut fresh = Progress { network, optimiser, heads, best: None, position: Position::default() };
        if self.adversary.is_some()
            && let Some(start) = self.trainer.select(&fresh.network, self.adversary.as_deref())
        {
            fresh.best = Some(fresh.network.state_dict());
            fresh.position.watch = Some(Watch::new(start.accuracy));
        }
        Ok(fresh)
    }

    fn resume(&mut self, saved: &Saved<Position>) -> Result<Progress, TrainError> {
        let Progress { network, optimiser, heads, .. } = self.fresh()?;
        let like = network.state_dict();
        Ok(Progress {
            network: network.load_state_dict(&saved.group("network", &like)?)?,
            optimiser: restore(optimiser, saved, "optimiser")?,
            heads: heads.map(|heads| heads.resume(saved)).transpose()?,
            best: (saved.position.best.is_some() || saved.position.watch.is_some())
                .then(|| saved.group("best", &like))
                .transpose()?,
            position: saved.position.clone(),
        })
    }

    fn parts(&self, progress: &Progress) -> Parts<Position> {
        let mut groups = vec![("network", progress.network.state_dict())];
        groups.extend(progress.best.clone().map(|best| ("best", best)));
        let records = vec![("optimiser", record(&progress.optimiser))];
        let mut parts = Parts { position: progress.position.clone(), groups, records };
        if let Some(heads) = &progress.heads {
            heads.add_to(&mut parts);
        }
        parts
    }

    fn step(&mut self, mut progress: Progress, at: At) -> Result<(Progress, f64), Fault> {
        let Trainer { recipe, train, normalisation, .. } = self.trainer;
        let batches = self.batches.get_or_insert_with(|| {
            let plan = Epoch {
                seed: recipe.seed,
                epoch: at.epoch as u64,
                batch_size: recipe.batch,
                start_batch: at.step,
                side: (recipe.growing > 0.0).then(|| recipe.side(train.height, at.epoch)),
            };
            epoch_batches(train.clone(), normalisation, &recipe.augmentation, plan)
        });
        let batch = batches.next().expect("an epoch has as many batches as steps");
        // A batch of one image has no batch statistics; it is passed over, as it must be in any framework.
        if batch.labels.len() > 1 {
            progress = self.trainer.train_on(progress, batch, at)?;
        }
        let Partial { loss, seen, .. } = progress.position.partial;
        Ok((progress, loss / seen.max(1) as f64))
    }

    /// Evaluates the epoch and keeps its weights if they are the best so far.
    fn end_epoch(&mut self, progress: &mut Progress, epoch: usize) -> Result<EpochRow, Fault> {
        self.batches = None;
        let Progress { network, optimiser, best, position, .. } = progress;
        let recipe = self.trainer.recipe;
        let mut selection = self.trainer.select(network, self.adversary.as_deref());
        if let Some(now) = &mut selection {
            let what = if now.test { "test loss" } else { "held-out loss" };
            finite(what, now.loss, || advice(recipe))?;
            let verdict = match (recipe.objective.guard(), &mut position.watch) {
                (Some(guard), Some(watch)) => watch.judge(guard, now.accuracy, now.scaled_kl.unwrap_or(0.0)),
                _ if position.best.is_none_or(|before| now.accuracy > before.accuracy) => Judged::Best,
                _ => Judged::Fine,
            };
            match (verdict, &best) {
                (Judged::Best, _) if recipe.keep == Keep::Best => {
                    *best = Some(network.state_dict());
                    position.best = Some(Best { epoch, accuracy: now.accuracy });
                }
                (Judged::Broken, Some(kept)) => {
                    now.undone = true;
                    *network = network.clone().load_state_dict(kept)?;
                    *optimiser = recipe.optimiser.build();
                }
                _ => {}
            }
        }
        let step = (epoch + 1) * self.trainer.batches();
        let Partial { loss, correct, seen } = std::mem::take(&mut position.partial);
        let seen = seen.max(1) as f64;
        Ok(EpochRow {
            epoch,
            step,
            learning_rate: self.trainer.rate(step - 1),
            train_loss: loss / seen,
            train_accuracy: correct as f64 / seen,
            selection,
            seconds: 0.0,
        })
    }

    fn advice(&self) -> String {
        advice(self.trainer.recipe)
    }
}

/// What to try when the loss is not finite.
fn advice(recipe: &Recipe) -> String {
    let mut tries: Vec<String> = recipe.objective.advice().map(str::to_owned).into_iter().collect();
    if recipe.clip_norm.is_none() {
        tries.push("clip_norm=1".to_owned());
    }
    tries.push(format!("a smaller learning_rate (now {:?})", recipe.learning_rate));
    format!("try {}", tries.join(", or "))
}
