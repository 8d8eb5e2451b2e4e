//! One recipe carried out: from its data set and frozen network to a finished run in the store.

use super::doubts::doubts;
use super::executor::{Ended, Worker, on_a_pool};
use super::recorder::Recorder;
use super::result::{Failure, Nastiness, RESULT_FORMAT, RunResult};
use super::split::Split;
use super::store::StoreError;
use super::task::Task;
use super::weights::{Fitted, Misfit, fit};
use super::workplace::{Workplace, normalisation_of};
use crate::analysis::AnalysisError;
use crate::data::{DataError, DataSet, ImageSet, Normalisation};
use crate::nets::{self, Input, NetError, Network, NetworkConfig, Precision};
use crate::training::{
    Frozen, Objective, Observer, Outcome, Parity, Recipe, TableKey, TrainError, Trainer, all_logits,
    evaluate, mean_scaled_kl,
};
use miette::Diagnostic;

/// Why a recipe could not be carried out.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum JobError {
    /// The recipe cannot run.
    #[error("recipe {recipe} cannot run: {problem}")]
    Recipe {
        /// Its hash.
        recipe: String,
        /// Why.
        problem: String,
    },
    /// The data set.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
    /// A network.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Network(#[from] NetError),
    /// The store.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// The training.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Train(#[from] TrainError),
    /// An analysis.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Analysis(#[from] AnalysisError),
}

/// How carrying out a recipe ended.
#[derive(Debug)]
pub enum JobEnd {
    /// Finished, now or earlier.
    Done(Box<RunResult>),
    /// Stopped on request; the state is saved and the same call goes on.
    Stopped,
}

impl From<JobEnd> for Ended {
    fn from(end: JobEnd) -> Self {
        match end {
            JobEnd::Done(_) => Self::Done,
            JobEnd::Stopped => Self::Stopped,
        }
    }
}

impl Worker for Workplace {
    fn work(&self, task: &Task, observer: &mut dyn Observer) -> Result<Ended, JobError> {
        self.perform(task, observer)
    }

    fn busy(&self, hash: &str) -> bool {
        self.store.run(hash).busy()
    }
}

impl Workplace {
    /// Carries out `recipe`, unless it is finished already.
    ///
    /// # Errors
    /// [`JobError`]. A loss that is not finite is this recipe's result: it is recorded, and the next call gives the same
    /// error without training.
    pub fn carry_out(&self, recipe: &Recipe, observer: &mut dyn Observer) -> Result<JobEnd, JobError> {
        on_a_pool(rayon::current_num_threads(), || self.carry_out_here(recipe, observer))
    }

    fn carry_out_here(&self, recipe: &Recipe, observer: &mut dyn Observer) -> Result<JobEnd, JobError> {
        let hash = recipe.hash();
        let refuse = |problem: String| JobError::Recipe { recipe: hash.clone(), problem };
        if let Some(problem) = recipe.problem() {
            return Err(refuse(problem));
        }
        let run = self.store.run(&hash);
        if let Some(result) = run.result()? {
            return Ok(JobEnd::Done(Box::new(result)));
        }
        if let Some(failure) = run.failure()? {
            return Err(failure.error().into());
        }
        let (data, found) = self.data_and_digest(&recipe.data.name, recipe.data.side)?;
        if found != recipe.data.digest {
            let name = &recipe.data.name;
            return Err(refuse(format!(
                "its data set {name} had digest {}, the one here has {found}",
                recipe.data.digest
            )));
        }
        recipe.augmentation.check(data.train.height, data.train.width)?;
        if recipe.precision == Precision::Bf16 && self.device_name != "flex" {
            return Err(refuse(format!("precision bf16 needs the device flex, found {}", self.device_name)));
        }
        let split = Split::of(recipe, &data).map_err(refuse)?;
        for doubt in doubts(recipe, &data, &split, &self.store) {
            tracing::warn!("{doubt}");
        }
        let input = Input { channels: data.train.channels, side: data.train.height };
        let autodiff = self.device.clone().autodiff();
        let network = recipe
            .architecture
            .build(data.classes.len(), input, recipe.seed, &autodiff)?
            .with_precision(recipe.precision);
        let frozen = self.frozen(recipe, &data, &split).map_err(|e| e.unwrap_or_else(refuse))?;

        let _lock = run.lock(&|| observer.stop())?;
        // Another process may have ended it while this one waited.
        if let Some(result) = run.result()? {
            return Ok(JobEnd::Done(Box::new(result)));
        }
        if let Some(failure) = run.failure()? {
            return Err(failure.error().into());
        }
        run.write_recipe(recipe)?;
        let selection = match recipe.parity {
            Parity::Published => Some(&data.test),
            Parity::Exact => split.validation.as_ref(),
        };
        let trainer = Trainer {
            recipe,
            train: split.train.clone(),
            selection,
            normalisation: &data.normalisation,
            frozen,
            device: self.device.clone(),
            state_file: &run.state_file(),
        };
        let outcome = match trainer.run(network, &mut Recorder::new(&run, observer)) {
            Err(error) => {
                if let Some(failure) = Failure::of(&error, self.machine()) {
                    run.fail(&failure)?;
                }
                return Err(error.into());
            }
            Ok(outcome) => outcome,
        };
        let Outcome::Finished(weights, position) = outcome else { return Ok(JobEnd::Stopped) };
        run.write_rows(&position.rows)?;
        let network = recipe
            .architecture
            .build(data.classes.len(), input, recipe.seed, &self.device)?
            .load_state_dict(&weights)?;
        let Normalisation { mean, std } = data.normalisation.clone();
        nets::save(&run.folder, &network, &NetworkConfig::new(&network, mean, std, data.classes.clone()))?;
        let logits = all_logits(&network, &data.normalisation, &data.test, &self.device);
        let test = evaluate(&logits, &data.test.labels, data.classes.len());
        let result = RunResult {
            format: RESULT_FORMAT,
            recipe: hash,
            epoch: position.best_epoch.unwrap_or(recipe.epochs - 1),
            nastiness: self.nastiness(recipe, &network, &data, split.validation.as_ref(), &test)?,
            test,
            seconds: position.seconds,
            machine: self.machine(),
        };
        run.finish(&result)?;
        Ok(JobEnd::Done(Box::new(result)))
    }

    /// The frozen network of the recipe's objective, over the training images.
    fn frozen(
        &self,
        recipe: &Recipe,
        data: &DataSet,
        split: &Split,
    ) -> Result<Option<Frozen>, Result<JobError, String>> {
        let Some(reference) = recipe.objective.frozen() else { return Ok(None) };
        let (network, config) = self.network(reference).map_err(|e| Ok(e.into()))?;
        let fitted = fit(network, config, data, &self.device)
            .map_err(|e| Err(format!("its frozen network {}: {e}", reference.0)))?;
        if let Some(note) = &fitted.note {
            tracing::warn!("{}: {note}", reference.0);
        }
        let key = TableKey {
            network: fitted.known_as(&reference.0),
            data: recipe.data.digest.clone(),
            augmentation: recipe.augmentation.clone(),
            images: data.train.len(),
            classes: data.classes.len(),
        };
        Ok(Some(Frozen {
            normalisation: normalisation_of(&fitted.config),
            network: fitted.network,
            images: split.train.clone(),
            places: split.places.clone(),
            augmentation: recipe.augmentation.clone(),
            device: self.device.clone(),
            table: if self.keep_logits { self.logits.table(&key) } else { None },
        }))
    }

    fn nastiness(
        &self,
        recipe: &Recipe,
        network: &Network,
        data: &DataSet,
        held_out: Option<&ImageSet>,
        test: &crate::training::Evaluation,
    ) -> Result<Option<Nastiness>, JobError> {
        let Objective::SelfUndermining { adversary, temperature, .. } = &recipe.objective else {
            return Ok(None);
        };
        let (adversary, config) = self.network(adversary)?;
        let refused =
            |e: Misfit| JobError::Recipe { recipe: recipe.hash(), problem: format!("its adversary: {e}") };
        let Fitted { network: adversary, config, .. } =
            fit(adversary, config, data, &self.device).map_err(refused)?;
        let classes = data.classes.len();
        let (images, on) = held_out.map_or((&data.test, "test"), |images| (images, "held-out"));
        let of_adversary =
            |images: &ImageSet| all_logits(&adversary, &normalisation_of(&config), images, &self.device);
        let nasty = all_logits(network, &data.normalisation, images, &self.device);
        let distance = mean_scaled_kl(&nasty, &of_adversary(images), classes, *temperature);
        let adversary = evaluate(&of_adversary(&data.test), &data.test.labels, classes);
        Ok(Some(Nastiness::judge(recipe, test, adversary, distance, on)))
    }
}
