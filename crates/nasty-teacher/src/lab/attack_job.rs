//! Tasks carried out, attacks and analyses here, training in `job`: from trained networks to a finished run in the store.

use super::executor::Ended;
use super::job::JobError;
use super::recorder::Recorder;
use super::result::{EmbeddingResult, Failure, InversionResult, RESULT_FORMAT, ResponsesResult, RunResult};
use super::store::Run;
use super::task::Task;
use super::weights::fit;
use super::workplace::{Workplace, normalisation_of};
use crate::analysis::responses::{Responses, ResponsesRecipe};
use crate::analysis::tsne::TsneRecipe;
use crate::attacks::TestData;
use crate::attacks::data_free::{DataFree, DataFreeOutcome, DataFreeRecipe};
use crate::attacks::inversion::{Inversion, InversionOutcome, InversionRecipe};
use crate::data::{DataSet, Normalisation};
use crate::nets::{self, Input, Network, NetworkConfig};
use crate::training::{NetworkRef, Observer, TrainError};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

impl Workplace {
    /// Carries out any task, unless it is finished already.
    ///
    /// # Errors
    /// [`JobError`]; a loss that is not finite is recorded as the result.
    pub(super) fn perform(&self, task: &Task, observer: &mut dyn Observer) -> Result<Ended, JobError> {
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
        let fitted = fit(network, config, data, &self.device).map_err(|e| JobError::Recipe {
            recipe: run.hash.clone(),
            problem: format!("its network {}: {e}", reference.0),
        })?;
        if let Some(note) = &fitted.note {
            tracing::warn!("{}: {note}", reference.0);
        }
        Ok((fitted.network, normalisation_of(&fitted.config), fitted.config))
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
        let map = recipe.carry_out(&network, &normalisation, &data.test, &self.device)?;
        run.finish(&EmbeddingResult {
            format: RESULT_FORMAT,
            recipe: run.hash.clone(),
            of: recipe.of,
            map,
            classes: data.classes.clone(),
            seconds: begun.elapsed().as_secs_f64(),
            machine: self.machine(),
        })?;
        Ok(Ended::Done)
    }

    fn responses(&self, recipe: &ResponsesRecipe, run: &Run) -> Result<Ended, JobError> {
        let begun = Instant::now();
        let data = self.test_data(&recipe.data, run)?;
        let mut networks = Vec::new();
        for network in &recipe.networks {
            let (network, normalisation, _) = self.fitting(network, &data, run)?;
            networks.push((network, normalisation));
        }
        let Responses { shown, sharpness } = recipe.carry_out(&networks, &data.test, &self.device)?;
        let images: Vec<usize> = shown.iter().map(|response| response.image).collect();
        run.write_images(&data.test.subset(&images))?;
        run.finish(&ResponsesResult {
            format: RESULT_FORMAT,
            recipe: run.hash.clone(),
            size: [data.test.height, data.test.width],
            temperature: recipe.temperature,
            responses: shown,
            sharpness,
            classes: data.classes.clone(),
            seconds: begun.elapsed().as_secs_f64(),
            machine: self.machine(),
        })?;
        Ok(Ended::Done)
    }
}
