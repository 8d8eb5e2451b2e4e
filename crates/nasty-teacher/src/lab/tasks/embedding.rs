//! A t-SNE map of a network's features or logits.

use crate::analysis::tsne::TsneRecipe;
use crate::data::DataName;
use crate::lab::context::Context;
use crate::lab::cost::{Estimate, Passes};
use crate::lab::error::JobError;
use crate::lab::result::{EmbeddingResult, RESULT_FORMAT};
use crate::lab::task::TaskKind;
use crate::lab::task_end::Ended;
use crate::lab::work::Work;
use crate::lab::workplace::normalisation_of;
use crate::nets::{Loaded, NetError};
use crate::training::NetworkRef;
use std::time::Instant;

impl TaskKind for TsneRecipe {
    fn hash(&self) -> String {
        TsneRecipe::hash(self)
    }

    fn needs(&self) -> Vec<&NetworkRef> {
        vec![&self.network]
    }

    fn data(&self) -> &DataName {
        &self.data.name
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn problem(&self) -> Option<String> {
        TsneRecipe::problem(self)
    }

    fn cost(&self, estimate: &mut Estimate<'_>) -> Result<(), NetError> {
        match estimate.network(&self.network) {
            Some(network) => estimate.add(network, Passes { trained: 0.0, forward: self.images as f64 }),
            None => Ok(()),
        }
    }
}

impl Work for TsneRecipe {
    fn run(&self, context: &mut Context<'_>) -> Result<Ended, JobError> {
        let begun = Instant::now();
        let data = context.data(&self.data.name, self.data.side, &self.data.digest)?;
        let Loaded { network, config, .. } = context.network(&self.network, &data)?;
        let map =
            self.carry_out(&network, &normalisation_of(&config), &data.test, &context.workplace.device)?;
        context.finish(&EmbeddingResult {
            format: RESULT_FORMAT,
            recipe: context.run.hash.clone(),
            of: self.of,
            map,
            classes: data.classes.clone(),
            seconds: begun.elapsed().as_secs_f64(),
            machine: context.machine(),
            made_with: Some(context.made_with()),
        })
    }
}
