//! One recipe carried out: from its data set and frozen network to a finished run in the store.

use super::result::{Machine, Nastiness, RESULT_FORMAT, RunResult};
use super::store::{Run, Store, StoreError};
use crate::data::{DataError, DataName, DataRoots, DataSet, ImageSet, Normalisation, held_out, load};
use crate::nets::{self, Input, NetError, Network, NetworkConfig};
use crate::training::{
    EpochRow, Frozen, NetworkRef, Objective, Observer, Outcome, Parity, Recipe, TrainError, Trainer,
    all_logits, evaluate, mean_scaled_kl,
};
use burn::tensor::Device;
use miette::Diagnostic;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

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
}

/// How carrying out a recipe ended.
#[derive(Debug)]
pub enum JobEnd {
    /// Finished, now or earlier.
    Done(Box<RunResult>),
    /// Stopped on request; the state is saved and the same call goes on.
    Stopped,
}

/// Where jobs run: the store, the data, the device. None of it changes a result.
pub struct Workplace {
    /// The store.
    pub store: Store,
    /// Where data sets are looked for.
    pub roots: DataRoots,
    /// The device, without autodiff.
    pub device: Device,
    /// Its name.
    pub device_name: String,
    /// Keep the logits of frozen networks (the results are the same without).
    pub keep_logits: bool,
    /// Data sets read so far.
    loaded: Mutex<HashMap<(DataName, Option<usize>), Arc<DataSet>>>,
}

impl Workplace {
    /// A workplace on `device`.
    pub fn new(store: Store, roots: DataRoots, device: Device, device_name: &str) -> Self {
        let loaded = Mutex::default();
        Self { store, roots, device, device_name: device_name.to_owned(), keep_logits: true, loaded }
    }

    /// The data set `name`, read once.
    pub fn data(&self, name: &DataName, side: Option<usize>) -> Result<Arc<DataSet>, DataError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = (name.clone(), side);
        if let Some(set) = loaded.get(&key) {
            return Ok(set.clone());
        }
        let set = Arc::new(load(name, &self.roots, side)?);
        loaded.insert(key, set.clone());
        Ok(set)
    }

    /// The weights of `network`, on this workplace's device without autodiff, with their configuration.
    pub fn network(&self, network: &NetworkRef) -> Result<(Network, NetworkConfig), NetError> {
        nets::load(&self.store.network(network), &self.device)
    }

    /// Carries out `recipe`, unless it is finished already.
    pub fn carry_out(&self, recipe: &Recipe, observer: &mut dyn Observer) -> Result<JobEnd, JobError> {
        let hash = recipe.hash();
        let refuse = |problem: String| JobError::Recipe { recipe: hash.clone(), problem };
        if let Some(problem) = recipe.problem() {
            return Err(refuse(problem));
        }
        let run = self.store.run(&hash);
        if let Some(result) = run.result()? {
            return Ok(JobEnd::Done(Box::new(result)));
        }
        let data = self.data(&recipe.data.name, recipe.data.side)?;
        let found = digest(&data);
        if found != recipe.data.digest {
            let name = &recipe.data.name;
            return Err(refuse(format!(
                "its data set {name} had digest {}, the one here has {found}",
                recipe.data.digest
            )));
        }
        recipe.augmentation.check(data.train.height, data.train.width)?;
        let split = Split::of(recipe, &data).map_err(refuse)?;
        let input = Input { channels: data.train.channels, side: data.train.height };
        let network = recipe.architecture.build(
            data.classes.len(),
            input,
            recipe.seed,
            &self.device.clone().autodiff(),
        )?;
        let frozen = self.frozen(recipe, &data, &split.train).map_err(|e| e.unwrap_or_else(refuse))?;

        let _lock = run.lock(&|| observer.stop())?;
        if let Some(result) = run.result()? {
            return Ok(JobEnd::Done(Box::new(result)));
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
        let outcome = trainer.run(network, &mut Recorder { run: &run, observer, rows: run.rows()? })?;
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

    /// What runs are made on here.
    pub fn machine(&self) -> Machine {
        Machine {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            threads: rayon::current_num_threads(),
            device: self.device_name.clone(),
        }
    }

    /// The frozen network of the recipe's objective, over the training images.
    fn frozen(
        &self,
        recipe: &Recipe,
        data: &DataSet,
        train: &Arc<ImageSet>,
    ) -> Result<Option<Frozen>, Result<JobError, String>> {
        let Some(reference) = recipe.objective.frozen() else { return Ok(None) };
        let (network, config) = self.network(reference).map_err(|e| Ok(e.into()))?;
        let input = Input { channels: data.train.channels, side: data.train.height };
        if network.classes() != data.classes.len() || network.input() != input {
            return Err(Err(format!(
                "its frozen network {} takes {:?} and tells {} classes apart, the data set has {input:?} and {} classes",
                reference.0,
                network.input(),
                network.classes(),
                data.classes.len()
            )));
        }
        let normalisation = normalisation_of(&config);
        let augmentation = recipe.augmentation.clone();
        Ok(Some(Frozen::new(
            network,
            normalisation,
            train.clone(),
            augmentation,
            self.device.clone(),
            self.keep_logits,
        )))
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

/// The normalisation that a network's configuration asks for.
pub fn normalisation_of(config: &NetworkConfig) -> Normalisation {
    Normalisation { mean: config.mean.clone(), std: config.std.clone() }
}

/// First 16 hexadecimal digits of the SHA-256 over a data set's images and labels.
pub fn digest(data: &DataSet) -> String {
    use sha2::{Digest, Sha256};
    let both = format!("{} {}", data.train.digest(), data.test.digest());
    Sha256::digest(both.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// The training images of a recipe.
struct Split {
    train: Arc<ImageSet>,
    validation: Option<ImageSet>,
}

impl Split {
    fn of(recipe: &Recipe, data: &DataSet) -> Result<Self, String> {
        let (all, held) = (data.train.len(), recipe.data.validation);
        if held >= all {
            return Err(format!("data.validation is {held}, but there are only {all} training images"));
        }
        let (mut train, validation) = held_out(&data.train.labels, held, recipe.seed);
        if let Some(subset) = recipe.data.subset {
            if subset > train.len() {
                return Err(format!("data.subset is {subset}, but {} training images are left", train.len()));
            }
            let labels: Vec<u16> = train.iter().map(|&i| data.train.labels[i]).collect();
            let (_, chosen) = held_out(&labels, subset, recipe.seed);
            train = chosen.into_iter().map(|i| train[i]).collect();
        }
        let validation = (held > 0).then(|| data.train.subset(&validation));
        Ok(Self { train: Arc::new(data.train.subset(&train)), validation })
    }
}

/// Keeps `metrics.jsonl` up to date while the run goes on.
struct Recorder<'a> {
    run: &'a Run,
    observer: &'a mut dyn Observer,
    rows: Vec<EpochRow>,
}

impl Observer for Recorder<'_> {
    fn batch(&mut self, epoch: usize, batch: usize, batches: usize, loss: f64) {
        self.observer.batch(epoch, batch, batches, loss);
    }

    fn epoch(&mut self, row: &EpochRow, epochs: usize) {
        self.rows.truncate(row.epoch);
        self.rows.push(row.clone());
        // The rows are in the saved state too, and are written again at the end, where a failure is reported.
        if let Err(e) = self.run.write_rows(&self.rows) {
            tracing::warn!("{e}");
        }
        self.observer.epoch(row, epochs);
    }

    fn stop(&self) -> bool {
        self.observer.stop()
    }
}
