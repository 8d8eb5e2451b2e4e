//! One step and one epoch of the attack. It can stop after any step and resume bit-identically.

use super::{InversionRecipe, inversion_losses};
use crate::attacks::noise::{images, normal, transparent, value};
use crate::data::{ImageSet, Normalisation};
use crate::nets::host;
use crate::nets::{NamedTensor, Network};
use crate::numerics::Provenance;
use crate::random::{Purpose, Stream};
use crate::training::context::{At, Ended, Fault, Finish, RunContext, Work, finite, record, restore};
use crate::training::state_file::{Parts, Saved};
use crate::training::{EpochRow, Optimiser, TrainError, all_logits};
use crate::victim::argmax;
use burn::module::{Module, Param, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// What an inversion works on, beside its recipe. A white box: it looks into the network's batch-norms.
pub struct Inversion<'a> {
    /// What to do; its [`problem`](InversionRecipe::problem) must be `None`.
    pub recipe: &'a InversionRecipe,
    /// The network that the images are pulled out of, on `device` without autodiff.
    pub network: Network,
    /// Of its input.
    pub normalisation: &'a Normalisation,
    /// The recipe's judge, with the normalisation of its input; it must take images of the same shape and tell as
    /// many classes apart.
    pub judge: Option<(Network, Normalisation)>,
    /// Without autodiff.
    pub device: Device,
}

/// Means over [`InversionRecipe::EPOCH`] steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InversionRow {
    /// Steps done.
    pub step: usize,
    /// All terms, weighted.
    pub total: f64,
    /// Cross entropy with the wanted classes, nats.
    pub cross_entropy: f64,
    /// Distance of batch-norm statistics, unweighted.
    pub statistics: f64,
    /// Total variation, unweighted.
    pub total_variation: f64,
    /// ℓ2 norm, unweighted.
    pub l2: f64,
    /// Share of the (shifted, flipped) images that the network sees as wanted.
    pub recognised: f64,
}

/// How a call of [`Inversion::run`] ended.
pub enum InversionOutcome {
    /// All steps are done.
    Finished(Box<InversionEnd>),
    /// Stopped on request, with the state saved.
    Stopped,
}

/// What a finished inversion gives.
pub struct InversionEnd {
    /// The images, with the classes that were wanted.
    pub images: ImageSet,
    /// What the network sees in them, as 8-bit images without shift or flip.
    pub network: Recognised,
    /// What the judge sees in them.
    pub judge: Option<Recognised>,
    /// The course of the losses.
    pub rows: Vec<InversionRow>,
    /// Seconds of work, over all sittings.
    pub seconds: f64,
    /// What it was made from and with.
    pub provenance: Provenance,
}

/// What a network sees in images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recognised {
    /// Images that it sees as the wanted class.
    pub as_wanted: usize,
    /// Images.
    pub total: usize,
    /// The class that it sees in each.
    pub predicted: Vec<u16>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Position {
    /// Sums over the steps since the last row.
    partial: InversionRow,
    rows: Vec<InversionRow>,
}

/// The images as a module, so that an optimiser takes them.
#[derive(Module, Debug)]
struct Canvas {
    pixels: Param<Tensor<4>>,
}

struct Progress {
    canvas: Canvas,
    optimiser: ModuleOptimizer,
    position: Position,
}

/// An attack under way.
struct Inverting<'a> {
    attack: &'a Inversion<'a>,
    /// The network as gradients flow through it.
    network: Network,
}

impl Inversion<'_> {
    /// Optimises the images, from the saved state if there is one.
    ///
    /// The observer hears of every step as of a batch, of every [`InversionRecipe::EPOCH`] steps as of an epoch, with
    /// the share of recognised images as the training accuracy.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] if the loss or a pixel is NaN or infinite; [`TrainError::State`].
    pub fn run(&self, context: RunContext<'_>) -> Result<InversionOutcome, TrainError> {
        let mut work = Inverting { attack: self, network: transparent(self.network.clone()) };
        Ok(match context.carry_out(&self.recipe.hash(), &mut work)? {
            Ended::Finished(progress, finish) => {
                InversionOutcome::Finished(Box::new(self.end(progress, finish)))
            }
            Ended::Stopped => InversionOutcome::Stopped,
        })
    }

    fn shape(&self) -> [usize; 4] {
        let input = self.network.input();
        [self.recipe.images, input.side, input.side, input.channels]
    }

    fn labels(&self) -> Vec<u16> {
        self.recipe.labels(self.network.classes())
    }

    /// The images with these pixels, tracked; the id is the same in every process, so the optimiser's record fits.
    fn canvas(&self, pixels: Vec<f32>) -> Canvas {
        let device = self.device.clone().autodiff();
        let pixels = Tensor::from_data(TensorData::new(pixels, self.shape()), &device);
        Canvas { pixels: Param::initialized(ParamId::from(0), pixels.require_grad()) }
    }

    fn tensor(&self, pixels: Vec<f32>) -> NamedTensor {
        NamedTensor { name: "pixels".into(), shape: self.shape().to_vec(), data: pixels }
    }

    fn improve(&self, progress: Progress, network: &Network, step: usize) -> Result<(Progress, f64), Fault> {
        let Progress { canvas, mut optimiser, mut position } = progress;
        let recipe = self.recipe;
        let wanted = self.labels();
        let labels: Vec<i32> = wanted.iter().map(|&l| i32::from(l)).collect();
        let device = self.device.clone().autodiff();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [wanted.len()]), &device);
        let seen = self.view(canvas.pixels.val(), step);
        let losses = inversion_losses(network, seen, labels);
        let total = losses.total(recipe);
        let loss = value(total.clone());
        finite("loss", loss, || self.advice())?;
        let gradients = GradientsParams::from_grads(total.backward(), &canvas);
        let canvas = self.clip(optimiser.step(self.rate(step), canvas, gradients));

        let logits = host(losses.logits);
        let right = logits.chunks_exact(network.classes()).zip(&wanted);
        let right = right.filter(|(row, label)| argmax(row) == usize::from(**label)).count();
        let sum = &mut position.partial;
        sum.total += loss;
        sum.cross_entropy += value(losses.cross_entropy);
        sum.statistics += value(losses.statistics);
        sum.total_variation += value(losses.total_variation);
        sum.l2 += value(losses.l2);
        sum.recognised += right as f64 / wanted.len() as f64;
        Ok((Progress { canvas, optimiser, position }, loss))
    }

    /// The batch as the network sees it at `step`: all images shifted and flipped alike.
    fn view(&self, pixels: Tensor<4>, step: usize) -> Tensor<4> {
        let jitter = self.recipe.jitter as u32;
        let mut stream = Stream::new(self.recipe.seed, Purpose::View, step as u64, 0);
        let mut shift = || i64::from(stream.below(2 * jitter + 1)) - i64::from(jitter);
        let shifts = [shift(), shift()];
        let shifted = if shifts == [0, 0] { pixels } else { pixels.roll(&shifts, &[1, 2]) };
        if self.recipe.flip && stream.below(2) == 1 { shifted.flip([2]) } else { shifted }
    }

    /// Cut to what an image can hold.
    fn clip(&self, canvas: Canvas) -> Canvas {
        let shape = self.shape();
        let bound = |level: f32| {
            let Normalisation { mean, std } = self.normalisation;
            let values: Vec<f32> = mean.iter().zip(std).map(|(mean, std)| (level - mean) / std).collect();
            Tensor::<1>::from_data(TensorData::new(values, [shape[3]]), &self.device)
                .reshape([1, 1, 1, shape[3]])
                .expand(shape)
        };
        let pixels = canvas.pixels.val().without_autodiff().max_pair(bound(0.0)).min_pair(bound(1.0));
        let pixels = Tensor::from_inner(pixels).require_grad();
        Canvas { pixels: Param::initialized(ParamId::from(0), pixels) }
    }

    fn rate(&self, step: usize) -> f64 {
        let InversionRecipe { learning_rate, schedule, steps, .. } = self.recipe;
        schedule.rate(*learning_rate, 0.0, step, InversionRecipe::EPOCH, *steps)
    }

    fn advice(&self) -> String {
        format!("try a smaller learning_rate (now {})", self.recipe.learning_rate)
    }

    fn end(&self, progress: Progress, finish: Finish) -> InversionEnd {
        let pixels = host(progress.canvas.pixels.val());
        let made = images(&pixels, self.normalisation, self.network.input().side, self.labels());
        let sees = |network: &Network, normalisation: &Normalisation| {
            let logits = all_logits(network, normalisation, &made, &self.device);
            let rows = logits.chunks_exact(network.classes());
            let predicted: Vec<u16> = rows.map(|row| argmax(row) as u16).collect();
            let as_wanted = predicted.iter().zip(&made.labels).filter(|(p, l)| p == l).count();
            Recognised { as_wanted, total: predicted.len(), predicted }
        };
        InversionEnd {
            network: sees(&self.network, self.normalisation),
            judge: self.judge.as_ref().map(|(judge, normalisation)| sees(judge, normalisation)),
            images: made,
            rows: progress.position.rows,
            seconds: finish.seconds,
            provenance: finish.provenance,
        }
    }
}

impl Work for Inverting<'_> {
    type State = Progress;
    type Position = Position;

    fn epochs(&self) -> usize {
        self.attack.recipe.steps.div_ceil(InversionRecipe::EPOCH)
    }

    fn steps(&self, epoch: usize) -> usize {
        InversionRecipe::EPOCH.min(self.attack.recipe.steps - epoch * InversionRecipe::EPOCH)
    }

    fn fresh(&mut self) -> Result<Progress, TrainError> {
        let [images, h, w, c] = self.attack.shape();
        let canvas =
            self.attack.canvas(normal(Purpose::Noise, self.attack.recipe.seed, 0, images, h * w * c));
        let optimiser = Optimiser::Adam { weight_decay: 0.0 }.build();
        Ok(Progress { canvas, optimiser, position: Position::default() })
    }

    fn resume(&mut self, saved: &Saved<Position>) -> Result<Progress, TrainError> {
        let Progress { optimiser, .. } = self.fresh()?;
        let [pixels] = <[_; 1]>::try_from(saved.group("canvas", &[self.attack.tensor(Vec::new())])?)
            .expect("one was asked for");
        Ok(Progress {
            canvas: self.attack.canvas(pixels.data),
            optimiser: restore(optimiser, saved, "optimiser")?,
            position: saved.position.clone(),
        })
    }

    fn parts(&self, progress: &Progress) -> Parts<Position> {
        let pixels = self.attack.tensor(host(progress.canvas.pixels.val()));
        let records = vec![("optimiser", record(&progress.optimiser))];
        Parts { position: progress.position.clone(), groups: vec![("canvas", vec![pixels])], records }
    }

    fn step(&mut self, progress: Progress, at: At) -> Result<(Progress, f64), Fault> {
        self.attack.improve(progress, &self.network, at.epoch * InversionRecipe::EPOCH + at.step)
    }

    fn end_epoch(&mut self, progress: &mut Progress, epoch: usize) -> Result<EpochRow, Fault> {
        let position = &mut progress.position;
        let steps = self.steps(epoch);
        let sum = std::mem::take(&mut position.partial);
        let mean = |sum: f64| sum / steps as f64;
        let row = InversionRow {
            step: epoch * InversionRecipe::EPOCH + steps,
            total: mean(sum.total),
            cross_entropy: mean(sum.cross_entropy),
            statistics: mean(sum.statistics),
            total_variation: mean(sum.total_variation),
            l2: mean(sum.l2),
            recognised: mean(sum.recognised),
        };
        position.rows.push(row.clone());
        Ok(EpochRow {
            epoch,
            step: row.step,
            learning_rate: self.attack.rate(row.step - 1),
            train_loss: row.total,
            train_accuracy: row.recognised,
            selection: None,
            seconds: 0.0,
        })
    }

    fn advice(&self) -> String {
        self.attack.advice()
    }
}
