//! Distillation without data.

use crate::attacks::data_free::{DataFree, DataFreeOutcome, DataFreeRecipe};
use crate::data::DataName;
use crate::lab::context::Context;
use crate::lab::cost::{Estimate, Passes};
use crate::lab::error::JobError;
use crate::lab::result::{RESULT_FORMAT, RunResult};
use crate::lab::task::TaskKind;
use crate::lab::task_end::Ended;
use crate::lab::work::Work;
use crate::lab::workplace::normalisation_of;
use crate::nets::{self, Architecture, Input, Loaded, NetError, NetworkConfig};
use crate::training::NetworkRef;

impl TaskKind for DataFreeRecipe {
    fn hash(&self) -> String {
        DataFreeRecipe::hash(self)
    }

    fn needs(&self) -> Vec<&NetworkRef> {
        vec![&self.teacher]
    }

    fn makes(&self) -> Option<Architecture> {
        Some(self.student)
    }

    fn data(&self) -> &DataName {
        &self.data.name
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn length(&self) -> usize {
        self.epochs
    }

    fn problem(&self) -> Option<String> {
        DataFreeRecipe::problem(self)
    }

    fn cost(&self, estimate: &mut Estimate<'_>) -> Result<(), NetError> {
        let images = (self.epochs * self.steps * self.batch) as f64;
        let student = estimate.shape(self.student);
        // The generator's passes are counted as so many more of the student's.
        let generator = self.build_generator(estimate.facts.input, estimate.device)?.macs() as f64;
        let generator = generator / student.macs(estimate.device)?.max(1) as f64;
        let tested = (estimate.facts.test * self.epochs) as f64;
        estimate.add(student, Passes { trained: images * (1.0 + generator), forward: tested })?;
        match estimate.network(&self.teacher) {
            // Forward, and back to the images.
            Some(teacher) => estimate.add(teacher, Passes { trained: 0.0, forward: 2.0 * images }),
            None => Ok(()),
        }
    }
}

impl Work for DataFreeRecipe {
    fn run(&self, context: &mut Context<'_>) -> Result<Ended, JobError> {
        let workplace = context.workplace;
        let data = context.data(&self.data.name, self.data.side, &self.data.digest)?;
        let Loaded { network: teacher, config, .. } = context.network(&self.teacher, &data)?;
        let normalisation = normalisation_of(&config);
        let attack = DataFree {
            recipe: self,
            teacher,
            test: &data.test,
            normalisation: &normalisation,
            device: workplace.device.clone(),
        };
        let outcome = context.keeping(|kept| attack.run(kept))?;
        let DataFreeOutcome::Finished(end) = outcome else { return Ok(Ended::Stopped) };
        if !context.may_write() {
            return Ok(Ended::Stopped);
        }
        context.run.write_rows(&end.rows)?;
        let input = Input { channels: data.test.channels, side: data.test.height };
        let student = self.student.build(data.classes.len(), input, self.seed, &workplace.device)?;
        let student = student.load_state_dict(&end.student)?;
        let NetworkConfig { mean, std, label_names, .. } = config;
        nets::save(&context.run.folder, &student, &NetworkConfig::new(&student, mean, std, label_names))?;
        context.run.write_images(&end.samples)?;
        context.finish(&RunResult {
            format: RESULT_FORMAT,
            recipe: context.run.hash.clone(),
            epoch: end.epoch,
            test: end.test,
            nastiness: None,
            seconds: end.seconds,
            machine: context.machine(),
            made_with: Some(end.provenance),
            start_kept: false,
        })
    }
}
