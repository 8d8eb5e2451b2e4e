//! Networks' answers to test images.

use crate::analysis::responses::{Responses, ResponsesRecipe};
use crate::data::DataName;
use crate::lab::context::Context;
use crate::lab::cost::{Estimate, Passes};
use crate::lab::error::JobError;
use crate::lab::result::{RESULT_FORMAT, ResponsesResult};
use crate::lab::task::TaskKind;
use crate::lab::task_end::Ended;
use crate::lab::work::Work;
use crate::lab::workplace::normalisation_of;
use crate::nets::{Loaded, NetError};
use crate::training::NetworkRef;
use crate::victim::{OwnNetwork, Victim};
use std::time::Instant;

impl TaskKind for ResponsesRecipe {
    fn hash(&self) -> String {
        ResponsesRecipe::hash(self)
    }

    fn needs(&self) -> Vec<&NetworkRef> {
        self.networks.iter().collect()
    }

    fn data(&self) -> &DataName {
        &self.data.name
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn problem(&self) -> Option<String> {
        ResponsesRecipe::problem(self)
    }

    fn cost(&self, estimate: &mut Estimate<'_>) -> Result<(), NetError> {
        let forward = estimate.facts.test as f64;
        for network in &self.networks {
            if let Some(network) = estimate.network(network) {
                estimate.add(network, Passes { trained: 0.0, forward })?;
            }
        }
        Ok(())
    }
}

impl Work for ResponsesRecipe {
    fn run(&self, context: &mut Context<'_>) -> Result<Ended, JobError> {
        let begun = Instant::now();
        let data = context.data(&self.data.name, self.data.side, &self.data.digest)?;
        let mut networks = Vec::new();
        for network in &self.networks {
            let Loaded { network, config, digest } = context.network(network, &data)?;
            let device = context.workplace.device.clone();
            networks.push(OwnNetwork::new(&network, normalisation_of(&config), digest, &device));
        }
        let victims: Vec<&dyn Victim> = networks.iter().map(|network| network as &dyn Victim).collect();
        let Responses { shown, sharpness } = self.carry_out(&victims, &data.test)?;
        if !context.may_write() {
            return Ok(Ended::Stopped);
        }
        let images: Vec<usize> = shown.iter().map(|response| response.image).collect();
        context.run.write_images(&data.test.subset(&images))?;
        context.finish(&ResponsesResult {
            format: RESULT_FORMAT,
            recipe: context.run.hash.clone(),
            size: [data.test.height, data.test.width],
            temperature: self.temperature,
            responses: shown,
            sharpness,
            classes: data.classes.clone(),
            seconds: begun.elapsed().as_secs_f64(),
            machine: context.machine(),
            made_with: Some(context.made_with()),
        })
    }
}
