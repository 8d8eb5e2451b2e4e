//! Extraction of images from a network.

use crate::attacks::inversion::{Inversion, InversionOutcome, InversionRecipe};
use crate::data::DataName;
use crate::lab::context::Context;
use crate::lab::cost::{Estimate, Passes};
use crate::lab::error::JobError;
use crate::lab::result::{InversionResult, RESULT_FORMAT};
use crate::lab::task::TaskKind;
use crate::lab::task_end::Ended;
use crate::lab::work::Work;
use crate::lab::workplace::normalisation_of;
use crate::nets::{Loaded, NetError};
use crate::training::NetworkRef;

impl TaskKind for InversionRecipe {
    fn hash(&self) -> String {
        InversionRecipe::hash(self)
    }

    fn needs(&self) -> Vec<&NetworkRef> {
        [&self.network].into_iter().chain(&self.judge).collect()
    }

    fn data(&self) -> &DataName {
        &self.data.name
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn length(&self) -> usize {
        self.steps.div_ceil(Self::EPOCH)
    }

    fn problem(&self) -> Option<String> {
        InversionRecipe::problem(self)
    }

    fn cost(&self, estimate: &mut Estimate<'_>) -> Result<(), NetError> {
        let images = (self.steps * self.images) as f64;
        match estimate.network(&self.network) {
            Some(network) => estimate.add(network, Passes { trained: 0.0, forward: 2.0 * images }),
            None => Ok(()),
        }
    }
}

impl Work for InversionRecipe {
    fn run(&self, context: &mut Context<'_>) -> Result<Ended, JobError> {
        let data = context.data(&self.data.name, self.data.side, &self.data.digest)?;
        let Loaded { network, config, .. } = context.network(&self.network, &data)?;
        let normalisation = normalisation_of(&config);
        let judge = self.judge.as_ref().map(|judge| context.network(judge, &data)).transpose()?;
        let attack = Inversion {
            recipe: self,
            network,
            normalisation: &normalisation,
            judge: judge.map(|judge| (judge.network, normalisation_of(&judge.config))),
            device: context.workplace.device.clone(),
        };
        let outcome = context.keeping(|kept| attack.run(kept))?;
        let InversionOutcome::Finished(end) = outcome else { return Ok(Ended::Stopped) };
        if !context.may_write() {
            return Ok(Ended::Stopped);
        }
        context.run.write_images(&end.images)?;
        context.finish(&InversionResult {
            format: RESULT_FORMAT,
            recipe: context.run.hash.clone(),
            size: [end.images.height, end.images.width],
            network: end.network,
            judge: end.judge,
            rows: end.rows,
            classes: data.classes.clone(),
            seconds: end.seconds,
            machine: context.machine(),
            made_with: Some(end.provenance),
        })
    }
}
