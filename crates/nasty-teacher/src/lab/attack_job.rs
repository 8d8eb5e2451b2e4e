//! Attacks and analyses carried out: from trained networks to a finished run in the store.

use super::executor::Ended;
use super::job::JobError;
use super::recorder::Recorder;
use super::result::{EmbeddingResult, Failure, InversionResult, RESULT_FORMAT, ResponsesResult, RunResult};
use super::store::Run;
use super::task::Task;
use super::workplace::{Workplace, normalisation_of};
use crate::analysis::responses::{ResponsesRecipe, responses, sharpness};
use crate::analysis::tsne::{Layer, TsneRecipe, map};
use crate::analysis::{all_outputs, choose};
use crate::attacks::TestData;
use crate::attacks::data_free::{DataFree, DataFreeOutcome, DataFreeRecipe};
use crate::attacks::inversion::{Inversion, InversionOutcome, InversionRecipe};
use crate::data::{DataSet, Normalisation};
use crate::nets::{self, Input, Network, NetworkConfig};
use crate::training::{NetworkRef, Observer, TrainError, all_logits};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

impl Workplace {
    /// Carries out an attack or an analysis, unless it is finished already.
    ///
    /// # Errors
    /// [`JobError`]; a loss that is not finite is recorded as the result.
    pub(super) fn attack(&self, task: &Task, observer: &mut dyn Observer) -> Result<Ended, JobError> {
        match task {
            Task::Train(recipe) => Ok(self.carry_out(recipe, observer)?.into()),
            Task::DataFree(r) => {
                self.once(task, r, r.problem(), observer, |run, o| self.data_free(r, run, o))
            }
            Task::Inversion(r) => {
                self.once(task, r, r.problem(), observer, |run, o| self.inversion(r, run, o))
            }
            Task::Embedding(r) => self.once(task, r, r.problem(), observer, |run, _| self.embedding(r, run)),
            Task::Responses(r) => self.once(task, r, r.problem(), observer, |run, _| self.responses(r, run)),
        }
    }

    /// Does `work` on the task's run, alone and once.
    fn once(
        &self,
        task: &Task,
        recipe: &impl Serialize,
        problem: Option<String>,
        observer: &mut dyn Observer,
        work: impl FnOnce(&Run, &mut dyn Observer) -> Result<Ended, JobError>,
    ) -> Result<Ended, JobError> {
        let run = self.store.run(&task.hash());
        if let Some(problem) = problem {
            return Err(JobError::Recipe { recipe: run.hash, problem });
        }
        let ended = |run: &Run| -> Result<Option<Ended>, JobError> {
            match run.failure()? {
                Some(failure) => Err(failure.error().into()),
                None => Ok(run.folder.join("result.json").is_file().then_some(Ended::Done)),
            }
        };
        if let Some(ended) = ended(&run)? {
            return Ok(ended);
        }
        let _lock = run.lock(&|| observer.stop())?;
        // Another process may have ended it while this one waited.
        if let Some(ended) = ended(&run)? {
            return Ok(ended);
        }
        run.write_recipe(recipe)?;
        work(&run, observer)
    }

    fn failed(&self, run: &Run, error: TrainError) -> JobError {
        let recorded = Failure::of(&error, self.machine()).map_or(Ok(()), |failure| run.fail(&failure));
        recorded.map_or_else(JobError::from, |()| error.into())
    }

    /// The data set, if it is the one that the recipe means.
    fn test_data(&self, data: &TestData, run: &Run) -> Result<Arc<DataSet>, JobError> {
        let (set, found) = self.data_and_digest(&data.name, data.side)?;
        if found == data.digest {
            return Ok(set);
        }
        let problem =
            format!("its data set {} had digest {}, the one here has {found}", data.name, data.digest);
        Err(JobError::Recipe { recipe: run.hash.clone(), problem })
    }

    /// A network that takes the images of `data` and tells its classes apart.
    fn fitting(
        &self,
        reference: &NetworkRef,
        data: &DataSet,
        run: &Run,
    ) -> Result<(Network, Normalisation, NetworkConfig), JobError> {
        let (network, config) = self.network(reference)?;
        let input = Input { channels: data.test.channels, side: data.test.height };
        if network.classes() != data.classes.len() || network.input() != input {
            let problem = format!(
                "its network {} takes {:?} and tells {} classes apart, the data set has {input:?} and {} classes",
                reference.0,
                network.input(),
                network.classes(),
                data.classes.len()
            );
            return Err(JobError::Recipe { recipe: run.hash.clone(), problem });
        }
        let normalisation = normalisation_of(&config);
        Ok((network, normalisation, config))
    }

    fn data_free(
        &self,
        recipe: &DataFreeRecipe,
        run: &Run,
        observer: &mut dyn Observer,
    ) -> Result<Ended, JobError> {
        let data = self.test_data(&recipe.data, run)?;
        let (teacher, normalisation, config) = self.fitting(&recipe.teacher, &data, run)?;
        let attack = DataFree {
            recipe,
            teacher,
            test: &data.test,
            normalisation: &normalisation,
            device: self.device.clone(),
            state_file: &run.state_file(),
        };
        let outcome = attack.run(&mut Recorder::new(run, observer)).map_err(|e| self.failed(run, e))?;
        let DataFreeOutcome::Finished(end) = outcome else { return Ok(Ended::Stopped) };
        run.write_rows(&end.rows)?;
        let input = Input { channels: data.test.channels, side: data.test.height };
        let student = recipe.student.build(data.classes.len(), input, recipe.seed, &self.device)?;
        let student = student.load_state_dict(&end.student)?;
        let NetworkConfig { mean, std, label_names, .. } = config;
        nets::save(&run.folder, &student, &NetworkConfig::new(&student, mean, std, label_names))?;
        run.write_images(&end.samples)?;
        run.finish(&RunResult {
            format: RESULT_FORMAT,
            recipe: run.hash.clone(),
            epoch: end.epoch,
            test: end.test,
            nastiness: None,
            seconds: end.seconds,
            machine: self.machine(),
        })?;
        Ok(Ended::Done)
    }

    fn inversion(
        &self,
        recipe: &InversionRecipe,
        run: &Run,
        observer: &mut dyn Observer,
    ) -> Result<Ended, JobError> {
        let data = self.test_data(&recipe.data, run)?;
        let (network, normalisation, _) = self.fitting(&recipe.network, &data, run)?;
        let judge = recipe.judge.as_ref().map(|judge| self.fitting(judge, &data, run)).transpose()?;
        let attack = Inversion {
            recipe,
            network,
            normalisation: &normalisation,
            judge: judge.map(|(network, normalisation, _)| (network, normalisation)),
            device: self.device.clone(),
            state_file: &run.state_file(),
        };
        let outcome = attack.run(&mut Recorder::new(run, observer)).map_err(|e| self.failed(run, e))?;
        let InversionOutcome::Finished(end) = outcome else { return Ok(Ended::Stopped) };
        run.write_images(&end.images)?;
        run.finish(&InversionResult {
            format: RESULT_FORMAT,
            recipe: run.hash.clone(),
            size: [end.images.height, end.images.width],
            network: end.network,
            judge: end.judge,
            rows: end.rows,
            classes: data.classes.clone(),
            seconds: end.seconds,
            machine: self.machine(),
        })?;
        Ok(Ended::Done)
    }

    fn embedding(&self, recipe: &TsneRecipe, run: &Run) -> Result<Ended, JobError> {
        let begun = Instant::now();
        let data = self.test_data(&recipe.data, run)?;
        let (network, normalisation, _) = self.fitting(&recipe.network, &data, run)?;
        let chosen = choose(&data.test.labels, recipe.images.min(data.test.len()), recipe.seed);
        let images = data.test.subset(&chosen);
        let outputs = all_outputs(&network, &normalisation, &images, &self.device);
        let (vectors, size) = match recipe.of {
            Layer::Features => (&outputs.features, outputs.feature_size),
            Layer::Logits => (&outputs.logits, network.classes()),
        };
        if chosen.len() as f64 <= 3.0 * recipe.perplexity {
            let problem =
                format!("{} test images are too few for a perplexity of {}", chosen.len(), recipe.perplexity);
            return Err(JobError::Recipe { recipe: run.hash.clone(), problem });
        }
        run.finish(&EmbeddingResult {
            format: RESULT_FORMAT,
            recipe: run.hash.clone(),
            of: recipe.of,
            map: map(vectors, size, chosen, images.labels.clone(), recipe.perplexity, recipe.steps),
            classes: data.classes.clone(),
            seconds: begun.elapsed().as_secs_f64(),
            machine: self.machine(),
        })?;
        Ok(Ended::Done)
    }

    fn responses(&self, recipe: &ResponsesRecipe, run: &Run) -> Result<Ended, JobError> {
        let begun = Instant::now();
        let data = self.test_data(&recipe.data, run)?;
        let mut logits = Vec::new();
        for network in &recipe.networks {
            let (network, normalisation, _) = self.fitting(network, &data, run)?;
            logits.push(all_logits(&network, &normalisation, &data.test, &self.device));
        }
        let classes = data.classes.len();
        let chosen = choose(&data.test.labels, recipe.images.min(data.test.len()), recipe.seed);
        run.write_images(&data.test.subset(&chosen))?;
        run.finish(&ResponsesResult {
            format: RESULT_FORMAT,
            recipe: run.hash.clone(),
            size: [data.test.height, data.test.width],
            temperature: recipe.temperature,
            responses: responses(&logits, &data.test.labels, classes, recipe.temperature, &chosen),
            sharpness: logits.iter().map(|l| sharpness(l, classes, recipe.temperature)).collect(),
            classes: data.classes.clone(),
            seconds: begun.elapsed().as_secs_f64(),
            machine: self.machine(),
        })?;
        Ok(Ended::Done)
    }
}
