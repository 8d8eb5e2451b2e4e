//! Training a network by any objective.

use crate::data::{DataName, DataSet, ImageSet, Normalisation};
use crate::lab::context::Context;
use crate::lab::cost::{Estimate, Passes};
use crate::lab::error::JobError;
use crate::lab::executor::Ended;
use crate::lab::result::{Nastiness, RESULT_FORMAT, RunResult};
use crate::lab::split::Split;
use crate::lab::task::Work;
use crate::lab::workplace::normalisation_of;
use crate::nets::{self, Architecture, Input, NetError, Network, NetworkConfig, Precision};
use crate::training::{
    Evaluation, Frozen, NetworkRef, Objective, Outcome, Parity, Recipe, TableKey, Trainer, all_logits,
    evaluate, mean_scaled_kl,
};

impl Work for Recipe {
    fn hash(&self) -> String {
        Recipe::hash(self)
    }

    fn needs(&self) -> Vec<&NetworkRef> {
        self.objective.frozen().into_iter().collect()
    }

    fn makes(&self) -> Option<Architecture> {
        Some(self.architecture)
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
        Recipe::problem(self)
    }

    fn cost(&self, estimate: &mut Estimate<'_>) -> Result<(), NetError> {
        let facts = estimate.facts;
        let left = facts.train.saturating_sub(self.data.validation);
        let trained = (self.data.subset.unwrap_or(left) * self.epochs) as f64;
        let forward = (self.data.validation * self.epochs + facts.test) as f64;
        estimate.add(estimate.shape(self.architecture), Passes { trained, forward })?;
        if let Some(frozen) = self.objective.frozen()
            && let Some(shape) = estimate.network(frozen)
            && estimate.is_first_to_ask(frozen, self.seed)
        {
            estimate.add(shape, Passes { trained: 0.0, forward: trained })?;
        }
        Ok(())
    }

    fn run(&self, context: &mut Context<'_>) -> Result<Ended, JobError> {
        let workplace = context.workplace;
        let data = context.data(&self.data.name, self.data.side, &self.data.digest)?;
        self.augmentation.check(data.train.height, data.train.width)?;
        if self.precision == Precision::Bf16 && workplace.device_name != "flex" {
            let found = &workplace.device_name;
            return Err(context.refuse(format!("precision bf16 needs the device flex, found {found}")));
        }
        let split = Split::of(self, &data).map_err(|problem| context.refuse(problem))?;
        let input = Input { channels: data.train.channels, side: data.train.height };
        let autodiff = workplace.device.clone().autodiff();
        let network = self
            .architecture
            .build(data.classes.len(), input, self.seed, &autodiff)?
            .with_precision(self.precision);
        let frozen = frozen(self, context, &data, &split)?;
        let selection = match self.parity {
            Parity::Published => Some(&data.test),
            Parity::Exact => split.validation.as_ref(),
        };
        let trainer = Trainer {
            recipe: self,
            train: split.train.clone(),
            selection,
            normalisation: &data.normalisation,
            frozen,
            device: workplace.device.clone(),
            state_file: &context.run.state_file(),
        };
        let outcome = trainer.run(network, &mut context.begin()?)?;
        let Outcome::Finished(weights, position) = outcome else { return Ok(Ended::Stopped) };
        if !context.may_write() {
            return Ok(Ended::Stopped);
        }
        context.run.write_rows(&position.rows)?;
        let network = self
            .architecture
            .build(data.classes.len(), input, self.seed, &workplace.device)?
            .load_state_dict(&weights)?;
        let Normalisation { mean, std } = data.normalisation.clone();
        let config = NetworkConfig::new(&network, mean, std, data.classes.clone());
        nets::save(&context.run.folder, &network, &config)?;
        let logits = all_logits(&network, &data.normalisation, &data.test, &workplace.device);
        let test = evaluate(&logits, &data.test.labels, data.classes.len());
        context.finish(&RunResult {
            format: RESULT_FORMAT,
            recipe: context.run.hash.clone(),
            epoch: position.best_epoch.unwrap_or(self.epochs - 1),
            nastiness: nastiness(self, context, &network, &data, split.validation.as_ref(), &test)?,
            test,
            seconds: position.seconds,
            machine: context.machine(),
            made_with: Some(context.made_with()),
        })
    }
}

/// The frozen network of the recipe's objective, over the training images.
fn frozen(
    recipe: &Recipe,
    context: &mut Context<'_>,
    data: &DataSet,
    split: &Split,
) -> Result<Option<Frozen>, JobError> {
    let Some(reference) = recipe.objective.frozen() else { return Ok(None) };
    let (network, normalisation, _) = context.network(reference, data)?;
    let workplace = context.workplace;
    let key = TableKey {
        network: reference.0.clone(),
        data: recipe.data.digest.clone(),
        augmentation: recipe.augmentation.clone(),
        images: data.train.len(),
        classes: data.classes.len(),
    };
    Ok(Some(Frozen {
        network,
        normalisation,
        images: split.train.clone(),
        places: split.places.clone(),
        augmentation: recipe.augmentation.clone(),
        device: workplace.device.clone(),
        table: if workplace.keep_logits { workplace.logits.table(&key) } else { None },
    }))
}

/// Whether the nasty teacher that `recipe` made became nasty; none for other objectives.
fn nastiness(
    recipe: &Recipe,
    context: &Context<'_>,
    network: &Network,
    data: &DataSet,
    held_out: Option<&ImageSet>,
    test: &Evaluation,
) -> Result<Option<Nastiness>, JobError> {
    let Objective::SelfUndermining { adversary, temperature, .. } = &recipe.objective else {
        return Ok(None);
    };
    let device = &context.workplace.device;
    let (adversary, config) = context.workplace.network(adversary)?;
    let classes = data.classes.len();
    let (images, on) = held_out.map_or((&data.test, "test"), |images| (images, "held-out"));
    let of_adversary = |images: &ImageSet| all_logits(&adversary, &normalisation_of(&config), images, device);
    let nasty = all_logits(network, &data.normalisation, images, device);
    let distance = mean_scaled_kl(&nasty, &of_adversary(images), classes, *temperature);
    let adversary = evaluate(&of_adversary(&data.test), &data.test.labels, classes);
    Ok(Some(Nastiness::judge(recipe, test, adversary, distance, on)))
}
