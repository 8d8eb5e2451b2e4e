//! One step and one epoch of the attack. It can stop after any step and resume bit-identically.

use super::{DataFreeRecipe, generator_losses};
use crate::attacks::noise::{images, normal, transparent, value};
use crate::data::{ImageSet, Normalisation};
use crate::losses::scaled_kl;
use crate::nets::host;
use crate::nets::{Generator, Mode, NamedTensor, Network, Output};
use crate::numerics::Provenance;
use crate::random::Purpose;
use crate::training::context::{At, Ended, Fault, Finish, RunContext, Work, finite, record, restore};
use crate::training::state_file::{Parts, Saved};
use crate::training::{EpochRow, Evaluation, Optimiser, Parity, Selection, TrainError, all_logits, evaluate};
use crate::victim::argmax;
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// Generated images that are kept for a person to look at.
const SAMPLES: usize = 64;
/// Step number of the noise that the samples are made of; no run has as many steps.
const SAMPLES_STEP: u64 = u64::MAX;

/// What a data-free attack works on, beside its recipe. A white box: gradients flow through the victim.
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
}

/// What one epoch gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataFreeRow {
    /// As of a training run: the loss is `KL(teacher ‖ student)` at τ = 1 with the tempered teacher, the training accuracy is how often the
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
    /// What it was made from and with.
    pub provenance: Provenance,
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

/// A row beyond the course that every run has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct GeneratorRow {
    one_hot: f64,
    entropy: f64,
    activation: f64,
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
    rows: Vec<GeneratorRow>,
    best: Option<Best>,
}

struct Progress {
    generator: Generator,
    student: Network,
    generator_optimiser: ModuleOptimizer,
    student_optimiser: ModuleOptimizer,
    best: Option<Vec<NamedTensor>>,
    position: Position,
}

/// An attack under way.
struct Attacking<'a> {
    attack: &'a DataFree<'a>,
    /// The victim as gradients flow through it.
    teacher: Network,
}

impl DataFree<'_> {
    /// Trains a student on generated images, from the saved state if there is one.
    ///
    /// The observer hears of every step as of a batch, and of every epoch.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] if a loss or a weight is NaN or infinite; [`TrainError::State`]; [`TrainError::Network`] for
    /// a generator or student that cannot be built for the teacher's input.
    pub fn run(&self, context: RunContext<'_>) -> Result<DataFreeOutcome, TrainError> {
        let mut work = Attacking { attack: self, teacher: transparent(self.teacher.clone()) };
        match context.carry_out(&self.recipe.hash(), &mut work)? {
            Ended::Finished(progress, finish) => {
                Ok(DataFreeOutcome::Finished(Box::new(self.end(progress, finish)?)))
            }
            Ended::Stopped => Ok(DataFreeOutcome::Stopped),
        }
    }

    fn train_on(&self, progress: Progress, teacher: &Network, at: At) -> Result<Progress, Fault> {
        let Progress {
            generator,
            student,
            mut generator_optimiser,
            mut student_optimiser,
            best,
            mut position,
        } = progress;
        let recipe = self.recipe;
        let step = at.epoch * recipe.steps + at.step;
        let noise = self.noise(step as u64, recipe.batch, &self.device.clone().autodiff());
        let made = generator.forward(noise, Mode::Train);
        let said = teacher.outputs(made.clone(), Mode::Eval);
        let said = Output { logits: said.logits.div_scalar(recipe.temperature), ..said };
        let losses = generator_losses(&said);
        let total = losses.total(&recipe.weights);
        let target = said.logits.detach();
        let answer = student.forward(made.detach(), Mode::Train);
        let imitation = scaled_kl(target.clone(), answer.clone(), 1.0);

        let (of_generator, of_student) = (value(total.clone()), value(imitation.clone()));
        finite("generator's loss", of_generator, || self.advice(Whose::Generator))?;
        finite("student's loss", of_student, || self.advice(Whose::Student))?;
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
        let noise = normal(Purpose::Noise, self.recipe.seed, step, images, latent);
        Tensor::from_data(TensorData::new(noise, [images, latent]), device)
    }

    /// The student's learning rate.
    fn rate(&self, step: usize) -> f64 {
        let DataFreeRecipe { steps, epochs, learning_rate, schedule, .. } = self.recipe;
        schedule.rate(*learning_rate, 0.0, step, *steps, steps * epochs)
    }

    fn end(&self, progress: Progress, finish: Finish) -> Result<DataFreeEnd, TrainError> {
        let Progress { generator, student, best, position, .. } = progress;
        let weights = best.unwrap_or_else(|| student.state_dict());
        let test = self.test(&student.load_state_dict(&weights)?.valid());
        let weights_of_generator = generator.state_dict();
        // In training mode, as the student saw them; a whole batch, because its statistics are theirs.
        let noise = self.noise(SAMPLES_STEP, self.recipe.batch, &self.device);
        let made = generator.valid().forward(noise, Mode::Train);
        let classes = self.teacher.classes();
        let logits = host(self.teacher.forward(made.clone(), Mode::Eval));
        let side = self.teacher.input().side;
        let labels: Vec<u16> = logits.chunks_exact(classes).map(|row| argmax(row) as u16).collect();
        let all = images(&host(made), self.normalisation, side, labels);
        let shown: Vec<usize> = (0..self.recipe.batch.min(SAMPLES)).collect();
        let Finish { rows, seconds, provenance, end } = finish;
        end.finite("test loss", test.loss)?;
        let row = |(row, of_generator): (EpochRow, GeneratorRow)| {
            let GeneratorRow { one_hot, entropy, activation } = of_generator;
            DataFreeRow { row, one_hot, entropy, activation }
        };
        Ok(DataFreeEnd {
            student: weights,
            generator: weights_of_generator,
            epoch: position.best.map_or(self.recipe.epochs - 1, |best| best.epoch),
            test,
            rows: rows.into_iter().zip(position.rows).map(row).collect(),
            samples: all.subset(&shown),
            seconds,
            provenance,
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
                "the generator's: try a smaller generator.learning_rate (now {:?}), or smaller weights",
                generator.learning_rate
            ),
            Whose::Student => format!("the student's: try a smaller learning_rate (now {learning_rate:?})"),
        }
    }
}

impl Work for Attacking<'_> {
    type State = Progress;
    type Position = Position;

    fn epochs(&self) -> usize {
        self.attack.recipe.epochs
    }

    fn steps(&self, _: usize) -> usize {
        self.attack.recipe.steps
    }

    fn fresh(&mut self) -> Result<Progress, TrainError> {
        let recipe = self.attack.recipe;
        let device = self.attack.device.clone().autodiff();
        let (classes, input) = (self.teacher.classes(), self.teacher.input());
        Ok(Progress {
            generator: recipe.build_generator(input, &device)?,
            student: recipe.student.build(classes, input, recipe.seed, &device)?,
            generator_optimiser: Optimiser::Adam { weight_decay: 0.0 }.build(),
            student_optimiser: recipe.optimiser.build(),
            best: None,
            position: Position::default(),
        })
    }

    fn resume(&mut self, saved: &Saved<Position>) -> Result<Progress, TrainError> {
        let Progress { generator, student, generator_optimiser, student_optimiser, .. } = self.fresh()?;
        let (like, like_generator) = (student.state_dict(), generator.state_dict());
        Ok(Progress {
            generator_optimiser: restore(generator_optimiser, saved, "generator-optimiser")?,
            student_optimiser: restore(student_optimiser, saved, "student-optimiser")?,
            student: student.load_state_dict(&saved.group("student", &like)?)?,
            generator: generator.load_state_dict(&saved.group("generator", &like_generator)?)?,
            best: saved.position.best.map(|_| saved.group("best", &like)).transpose()?,
            position: saved.position.clone(),
        })
    }

    fn parts(&self, progress: &Progress) -> Parts<Position> {
        let mut groups =
            vec![("student", progress.student.state_dict()), ("generator", progress.generator.state_dict())];
        groups.extend(progress.best.clone().map(|best| ("best", best)));
        let records = vec![
            ("generator-optimiser", record(&progress.generator_optimiser)),
            ("student-optimiser", record(&progress.student_optimiser)),
        ];
        Parts { position: progress.position.clone(), groups, records }
    }

    fn step(&mut self, progress: Progress, at: At) -> Result<(Progress, f64), Fault> {
        let progress = self.attack.train_on(progress, &self.teacher, at)?;
        let shown = progress.position.partial.imitation / (at.step + 1) as f64;
        Ok((progress, shown))
    }

    fn end_epoch(&mut self, progress: &mut Progress, epoch: usize) -> Result<EpochRow, Fault> {
        let Progress { student, best, position, .. } = progress;
        let recipe = self.attack.recipe;
        let selection = (recipe.parity == Parity::Published).then(|| {
            let e = self.attack.test(&student.valid());
            Selection {
                accuracy: e.batch_averaged_accuracy,
                loss: e.loss,
                test: true,
                scaled_kl: None,
                undone: false,
            }
        });
        if let Some(now) = &selection {
            finite("test loss", now.loss, || self.attack.advice(Whose::Student))?;
            if position.best.is_none_or(|before| now.accuracy > before.accuracy) {
                *best = Some(student.state_dict());
                position.best = Some(Best { epoch, accuracy: now.accuracy });
            }
        }
        let step = (epoch + 1) * recipe.steps;
        let mean = |sum: f64| sum / recipe.steps as f64;
        let sum = std::mem::take(&mut position.partial);
        let (one_hot, entropy, activation) = (mean(sum.one_hot), mean(sum.entropy), mean(sum.activation));
        position.rows.push(GeneratorRow { one_hot, entropy, activation });
        Ok(EpochRow {
            epoch,
            step,
            learning_rate: self.attack.rate(step - 1),
            train_loss: mean(sum.imitation),
            train_accuracy: mean(sum.agreed as f64) / recipe.batch as f64,
            selection,
            seconds: 0.0,
        })
    }

    fn advice(&self) -> String {
        self.attack.advice(Whose::Student)
    }
}

#[derive(Clone, Copy)]
enum Whose {
    Generator,
    Student,
}
