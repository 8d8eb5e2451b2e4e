//! The attack's loop. Like the training loop it can stop after any step and go on to the same bits.

use super::{DataFreeRecipe, generator_losses};
use crate::attacks::noise::{images, normal, record, restore, transparent, value};
use crate::data::{ImageSet, Normalisation};
use crate::losses::scaled_kl;
use crate::nets::{Generator, Mode, NamedTensor, Network};
use crate::training::state_file;
use crate::training::{
    EpochRow, Evaluation, Observer, Optimiser, Parity, Selection, TrainError, all_logits, argmax, evaluate,
    host,
};
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};

/// Within an epoch the state is saved this often.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// Generated images that are kept for a person to look at.
const SAMPLES: usize = 64;
/// Step number of the noise that the samples are made of; no run has as many steps.
const SAMPLES_STEP: u64 = u64::MAX;

/// What a data-free attack works on, beside its recipe.
pub struct DataFree<'a> {
    /// What to do; its [`problem`](DataFreeRecipe::problem) must be `None`.
    pub recipe: &'a DataFreeRecipe,
    /// The victim, on `device` without autodiff.
    pub teacher: Network,
    /// Images that measure the student, of the shape that the teacher takes.
    pub test: &'a ImageSet,
    /// Of the teacher's input, and so of generated images and of the student.
    pub normalisation: &'a Normalisation,
    /// Without autodiff.
    pub device: Device,
    /// Where the state is kept.
    pub state_file: &'a Path,
}

/// What one epoch gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataFreeRow {
    /// As of a training run: the loss is `KL(teacher ‖ student)` at τ = 1, the training accuracy is how often the
    /// student agrees with the teacher on generated images, in training mode.
    #[serde(flatten)]
    pub row: EpochRow,
    /// Mean over steps of the generator's one-hot loss, nats.
    pub one_hot: f64,
    /// Mean over steps of its entropy loss, decimal: between −log₁₀(classes) and 0.
    pub entropy: f64,
    /// Mean over steps of its activation loss.
    pub activation: f64,
}

/// How a call of [`DataFree::run`] ended.
pub enum DataFreeOutcome {
    /// All epochs are done.
    Finished(Box<DataFreeEnd>),
    /// Stopped on request, with the state saved.
    Stopped,
}

/// What a finished attack gives.
pub struct DataFreeEnd {
    /// The student's weights.
    pub student: Vec<NamedTensor>,
    /// The generator's, of the last epoch.
    pub generator: Vec<NamedTensor>,
    /// 0-based epoch whose student was kept.
    pub epoch: usize,
    /// The student on the test images.
    pub test: Evaluation,
    /// Every epoch.
    pub rows: Vec<DataFreeRow>,
    /// Generated images with the classes that the teacher sees in them.
    pub samples: ImageSet,
    /// Seconds of work, over all sittings.
    pub seconds: f64,
}

/// Sums over the steps of an epoch under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Partial {
    one_hot: f64,
    entropy: f64,
    activation: f64,
    imitation: f64,
    agreed: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Position {
    epoch: usize,
    step: usize,
    partial: Partial,
    rows: Vec<DataFreeRow>,
    best_epoch: Option<usize>,
    seconds: f64,
}

struct Progress {
    generator: Generator,
    student: Network,
    generator_optimiser: ModuleOptimizer,
    student_optimiser: ModuleOptimizer,
    best: Option<Vec<NamedTensor>>,
    position: Position,
}

impl DataFree<'_> {
    /// Trains a student on generated images, from the saved state if there is one.
    ///
    /// The observer hears of every step as of a batch, and of every epoch.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] if a loss is NaN or infinite; [`TrainError::State`]; [`TrainError::Network`] for a
    /// generator or student that cannot be built for the teacher's input.
    pub fn run(self, observer: &mut dyn Observer) -> Result<DataFreeOutcome, TrainError> {
        let hash = self.recipe.hash();
        let teacher = transparent(self.teacher.clone());
        let mut progress = self.start_or_resume(&hash)?;
        let steps = self.recipe.steps;
        let earlier = progress.position.seconds;
        let begun = Instant::now();
        let mut saved = Instant::now();
        while progress.position.epoch < self.recipe.epochs {
            let epoch = progress.position.epoch;
            while progress.position.step < steps {
                progress = self.step(progress, &teacher, &hash)?;
                progress.position.step += 1;
                let done = progress.position.step;
                observer.batch(epoch, done, steps, progress.position.partial.imitation / done as f64);
                if done < steps && (observer.stop() || saved.elapsed() > SAVE_EVERY) {
                    progress.position.seconds = earlier + begun.elapsed().as_secs_f64();
                    if !observer.may_write() {
                        return Ok(DataFreeOutcome::Stopped);
                    }
                    self.save(&progress, &hash)?;
                    saved = Instant::now();
                    if observer.stop() {
                        return Ok(DataFreeOutcome::Stopped);
                    }
                }
            }
            let row = self.finish_epoch(&mut progress, earlier + begun.elapsed().as_secs_f64());
            let last = progress.position.epoch == self.recipe.epochs;
            // Published runs have 2,000 short epochs: not each is worth a state of two networks.
            if last || observer.stop() || saved.elapsed() > SAVE_EVERY {
                if !observer.may_write() {
                    return Ok(DataFreeOutcome::Stopped);
                }
                self.save(&progress, &hash)?;
                saved = Instant::now();
            }
            observer.epoch(&row, self.recipe.epochs);
            if observer.stop() && !last {
                if !observer.may_write() {
                    return Ok(DataFreeOutcome::Stopped);
                }
                self.save(&progress, &hash)?;
                return Ok(DataFreeOutcome::Stopped);
            }
        }
        Ok(DataFreeOutcome::Finished(Box::new(self.end(&teacher, progress)?)))
    }

    fn start_or_resume(&self, hash: &str) -> Result<Progress, TrainError> {
        let recipe = self.recipe;
        let device = self.device.clone().autodiff();
        let (classes, input) = (self.teacher.classes(), self.teacher.input());
        let generator = recipe.build_generator(input, &device)?;
        let student = recipe.student.build(classes, input, recipe.seed, &device)?;
        let generator_optimiser = Optimiser::Adam { weight_decay: 0.0 }.build();
        let student_optimiser = recipe.optimiser.build();
        let Some(saved) = state_file::read::<Position>(self.state_file, hash)? else {
            let (best, position) = (None, Position::default());
            return Ok(Progress {
                generator,
                student,
                generator_optimiser,
                student_optimiser,
                best,
                position,
            });
        };
        let like = student.state_dict();
        let best = saved.position.best_epoch.map(|_| saved.group("best", &like)).transpose()?;
        let optimiser = |name, fresh| restore(fresh, saved.record(name)?, |what| saved.damaged(what));
        Ok(Progress {
            generator_optimiser: optimiser("generator-optimiser", generator_optimiser)?,
            student_optimiser: optimiser("student-optimiser", student_optimiser)?,
            student: student.load_state_dict(&saved.group("student", &like)?)?,
            generator: {
                let tensors = saved.group("generator", &generator.state_dict())?;
                generator.load_state_dict(&tensors)?
            },
            best,
            position: saved.position,
        })
    }

    fn save(&self, progress: &Progress, hash: &str) -> Result<(), TrainError> {
        let (student, generator) = (progress.student.state_dict(), progress.generator.state_dict());
        let mut groups = vec![("student", student.as_slice()), ("generator", generator.as_slice())];
        groups.extend(progress.best.as_deref().map(|best| ("best", best)));
        let records = [&progress.generator_optimiser, &progress.student_optimiser].map(record);
        let [of_generator, of_student] = &records;
        let records: [(&str, &[u8]); 2] =
            [("generator-optimiser", of_generator), ("student-optimiser", of_student)];
        Ok(state_file::write(self.state_file, hash, &progress.position, &groups, &records)?)
    }

    fn step(&self, progress: Progress, teacher: &Network, hash: &str) -> Result<Progress, TrainError> {
        let Progress {
            generator,
            student,
            mut generator_optimiser,
            mut student_optimiser,
            best,
            mut position,
        } = progress;
        let recipe = self.recipe;
        let step = position.epoch * recipe.steps + position.step;
        let noise = self.noise(step as u64, recipe.batch, &self.device.clone().autodiff());
        let made = generator.forward(noise, Mode::Train);
        let said = teacher.outputs(made.clone(), Mode::Eval);
        let losses = generator_losses(&said);
        let total = losses.total(&recipe.weights);
        let target = said.logits.detach();
        let answer = student.forward(made.detach(), Mode::Train);
        let imitation = scaled_kl(target.clone(), answer.clone(), 1.0);

        let (of_generator, of_student) = (value(total.clone()), value(imitation.clone()));
        for (loss, whose) in [(of_generator, Whose::Generator), (of_student, Whose::Student)] {
            if !loss.is_finite() {
                let (epoch, recipe_hash, advice) = (position.epoch, hash.to_owned(), self.advice(whose));
                return Err(TrainError::NotFinite { loss, epoch, step, recipe: recipe_hash, advice });
            }
        }
        let gradients = GradientsParams::from_grads(total.backward(), &generator);
        let generator = generator_optimiser.step(recipe.generator.learning_rate, generator, gradients);
        let gradients = GradientsParams::from_grads(imitation.backward(), &student);
        let student = student_optimiser.step(self.rate(step), student, gradients);

        let partial = &mut position.partial;
        partial.one_hot += value(losses.one_hot);
        partial.entropy += value(losses.entropy);
        partial.activation += value(losses.activation);
        partial.imitation += of_student;
        let classes = self.teacher.classes();
        let (target, answer) = (host(target), host(answer));
        let rows = target.chunks_exact(classes).zip(answer.chunks_exact(classes));
        partial.agreed += rows.filter(|(t, s)| argmax(t) == argmax(s)).count();
        Ok(Progress { generator, student, generator_optimiser, student_optimiser, best, position })
    }

    fn noise(&self, step: u64, images: usize, device: &Device) -> Tensor<2> {
        let latent = self.recipe.generator.latent;
        Tensor::from_data(
            TensorData::new(normal(self.recipe.seed, step, images, latent), [images, latent]),
            device,
        )
    }

    /// The student's learning rate.
    fn rate(&self, step: usize) -> f64 {
        let DataFreeRecipe { steps, epochs, learning_rate, schedule, .. } = self.recipe;
        schedule.rate(*learning_rate, 0.0, step, *steps, steps * epochs)
    }

    /// Closes the books of the epoch that just ended and turns to the next.
    fn finish_epoch(&self, progress: &mut Progress, seconds: f64) -> EpochRow {
        let Progress { student, best, position, .. } = progress;
        let recipe = self.recipe;
        let selection = (recipe.parity == Parity::Published).then(|| {
            let e = self.test(&student.valid());
            Selection { accuracy: e.batch_averaged_accuracy, loss: e.loss }
        });
        if let Some(now) = &selection {
            let before = position.best_epoch.and_then(|e| position.rows[e].row.selection.as_ref());
            if before.is_none_or(|before| now.accuracy > before.accuracy) {
                *best = Some(student.state_dict());
                position.best_epoch = Some(position.epoch);
            }
        }
        let step = (position.epoch + 1) * recipe.steps;
        let mean = |sum: f64| sum / recipe.steps as f64;
        let Partial { one_hot, entropy, activation, imitation, agreed } = position.partial;
        let row = EpochRow {
            epoch: position.epoch,
            step,
            learning_rate: self.rate(step - 1),
            train_loss: mean(imitation),
            train_accuracy: mean(agreed as f64) / recipe.batch as f64,
            selection,
            seconds,
        };
        let (one_hot, entropy, activation) = (mean(one_hot), mean(entropy), mean(activation));
        position.rows.push(DataFreeRow { row: row.clone(), one_hot, entropy, activation });
        position.epoch += 1;
        position.step = 0;
        position.partial = Partial::default();
        position.seconds = seconds;
        row
    }

    fn end(&self, teacher: &Network, progress: Progress) -> Result<DataFreeEnd, TrainError> {
        let Progress { generator, student, best, position, .. } = progress;
        let weights = best.unwrap_or_else(|| student.state_dict());
        let test = self.test(&student.load_state_dict(&weights)?.valid());
        let weights_of_generator = generator.state_dict();
        // In training mode, as the student saw them; a whole batch, because its statistics are theirs.
        let noise = self.noise(SAMPLES_STEP, self.recipe.batch, &self.device);
        let made = generator.valid().forward(noise, Mode::Train);
        let classes = teacher.classes();
        let logits = host(self.teacher.forward(made.clone(), Mode::Eval));
        let side = teacher.input().side;
        let labels: Vec<u16> = logits.chunks_exact(classes).map(|row| argmax(row) as u16).collect();
        let all = images(&host(made), self.normalisation, side, labels);
        let shown: Vec<usize> = (0..self.recipe.batch.min(SAMPLES)).collect();
        Ok(DataFreeEnd {
            student: weights,
            generator: weights_of_generator,
            epoch: position.best_epoch.unwrap_or(self.recipe.epochs - 1),
            test,
            rows: position.rows,
            samples: all.subset(&shown),
            seconds: position.seconds,
        })
    }

    /// `student`, without autodiff, on the test images.
    fn test(&self, student: &Network) -> Evaluation {
        let logits = all_logits(student, self.normalisation, self.test, &self.device);
        evaluate(&logits, &self.test.labels, student.classes())
    }

    /// What to try when a loss is not finite.
    fn advice(&self, whose: Whose) -> String {
        let DataFreeRecipe { learning_rate, generator, .. } = self.recipe;
        match whose {
            Whose::Generator => format!(
                "the generator's: try a smaller generator.learning_rate (now {}), or smaller weights",
                generator.learning_rate
            ),
            Whose::Student => format!("the student's: try a smaller learning_rate (now {learning_rate})"),
        }
    }
}

#[derive(Clone, Copy)]
enum Whose {
    Generator,
    Student,
}
