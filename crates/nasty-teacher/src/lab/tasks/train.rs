//! Training of a network with any objective.

use crate::data::{DataName, DataSet, ImageSet, Normalisation};
use crate::lab::context::Context;
use crate::lab::cost::{Estimate, Passes, Shape};
use crate::lab::doubts::doubts;
use crate::lab::error::JobError;
use crate::lab::result::{Nastiness, RESULT_FORMAT, RunResult};
use crate::lab::split::Split;
use crate::lab::start::{Begun, begin};
use crate::lab::task::TaskKind;
use crate::lab::task_end::Ended;
use crate::lab::work::Work;
use crate::lab::workplace::normalisation_of;
use crate::nets::{self, Architecture, Input, Loaded, NetError, Network, NetworkConfig, Precision};
use crate::training::{
    Evaluation, Loss, NetworkRef, Objective, Outcome, Parity, Recipe, SelfUndermining, Trainer, all_logits,
    evaluate, mean_scaled_kl,
};
use crate::victim::{LOG_FLOOR, Origin, OwnNetwork, Victim};
use std::sync::Arc;

impl TaskKind for Recipe {
    fn hash(&self) -> String {
        Recipe::hash(self)
    }

    fn needs(&self) -> Vec<&NetworkRef> {
        let start = self.start.as_ref().map(|start| &start.network);
        let victim = self.objective.victim().filter(|victim| start != Some(*victim));
        victim.into_iter().chain(start).collect()
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
        let seen = (self.data.subset.unwrap_or(left) * self.epochs) as f64;
        let trained = seen * self.objective.passes() * self.mean_area(facts.input.side);
        let forward = (self.data.validation * self.epochs + facts.test) as f64;
        let shape = Shape { precision: self.precision, ..estimate.shape(self.architecture) };
        estimate.add(shape, Passes { trained, forward })?;
        if let Some(victim) = self.objective.victim()
            && let Some(shape) = estimate.network(victim)
            && estimate.is_first_to_ask(victim, self.seed)
        {
            estimate.add(shape, Passes { trained: 0.0, forward: seen })?;
        }
        Ok(())
    }
}

impl Work for Recipe {
    fn run(&self, context: &mut Context<'_>) -> Result<Ended, JobError> {
        let workplace = context.workplace;
        let data = context.data(&self.data.name, self.data.side, &self.data.digest)?;
        self.augmentation.check(data.train.height, data.train.width)?;
        if self.precision == Precision::Bf16 && workplace.device_name != "flex" {
            let found = &workplace.device_name;
            return Err(context.refuse(format!("precision bf16 needs the device flex, found {found}")));
        }
        let split = Split::of(self, &data).map_err(|problem| context.refuse(problem))?;
        for doubt in doubts(self, &data, &split, &workplace.store) {
            tracing::warn!("{doubt}");
        }
        let input = Input { channels: data.train.channels, side: data.train.height };
        let autodiff = workplace.device.clone().autodiff();
        let fresh = self.architecture.build(data.classes.len(), input, self.seed, &autodiff)?;
        let Begun { network, normalisation, classes } = match &self.start {
            Some(start) => begin(start, fresh, context, &data)?,
            None => Begun {
                network: fresh,
                normalisation: data.normalisation.clone(),
                classes: data.classes.clone(),
            },
        };
        let network = network.with_precision(self.precision);
        let victim = victim(self, context, &data)?;
        let selection = match self.parity {
            Parity::Published => Some(&data.test),
            Parity::Exact => split.validation.as_ref(),
        };
        let trainer = Trainer {
            recipe: self,
            train: split.train.clone(),
            origin: Some(Origin { set: &self.data.digest, places: &split.places }),
            unlabelled: None,
            selection,
            normalisation: &normalisation,
            victim: victim.as_deref(),
            floor: LOG_FLOOR,
            device: workplace.device.clone(),
        };
        let outcome = context.keeping(|kept| trainer.run(network, kept))?;
        let Outcome::Finished(trained) = outcome else { return Ok(Ended::Stopped) };
        if !context.may_write() {
            return Ok(Ended::Stopped);
        }
        context.run.write_rows(&trained.rows)?;
        let network = self
            .architecture
            .build(data.classes.len(), input, self.seed, &workplace.device)?
            .load_state_dict(&trained.weights)?;
        let Normalisation { mean, std } = normalisation.clone();
        let config = NetworkConfig::new(&network, mean, std, classes).framed(self.data.side);
        let logits = all_logits(&network, &normalisation, &data.test, &workplace.device);
        let test = evaluate(&logits, &data.test.labels, data.classes.len());
        trained.end.finite("test loss", test.loss)?;
        let made = Made { network: &network, normalisation: &normalisation, test: &test };
        let nastiness = nastiness(self, context, made, &data, split.validation.as_ref())?;
        if !context.may_write() {
            return Ok(Ended::Stopped);
        }
        nets::save(&context.run.folder, &network, &config)?;
        context.finish(&RunResult {
            format: RESULT_FORMAT,
            recipe: context.run.hash.clone(),
            epoch: trained.epoch,
            nastiness,
            test,
            seconds: trained.seconds,
            machine: context.machine(),
            made_with: Some(trained.provenance),
            start_kept: trained.start_kept,
        })
    }
}

/// The network or foreign victim that the recipe's objective asks.
fn victim(
    recipe: &Recipe,
    context: &mut Context<'_>,
    data: &DataSet,
) -> Result<Option<Arc<dyn Victim>>, JobError> {
    let Some(reference) = recipe.objective.victim() else { return Ok(None) };
    if reference.is_victim() {
        if let Objective::SelfUndermining(_) = &recipe.objective {
            return Err(
                context.refuse(format!("its adversary {} only answers, expected a network", reference.0))
            );
        }
        return context.victim(reference, data).map(Some);
    }
    let Loaded { network, config, digest } = context.network(reference, data)?;
    let workplace = context.workplace;
    let victim = OwnNetwork::new(&network, normalisation_of(&config), digest, &workplace.device);
    // Resized crops hardly ever repeat: a table of their logits would only take room.
    if !workplace.keep_logits || recipe.augmentation.resized_crop_percent > 0 {
        return Ok(Some(Arc::new(victim)));
    }
    let Recipe { data: of, augmentation, .. } = recipe;
    let (tables, numerics) = (&workplace.logits, workplace.numerics());
    let victim = victim.remembering(tables, numerics, &of.digest, data.train.len(), augmentation);
    Ok(Some(Arc::new(victim)))
}

/// A network that a recipe made.
struct Made<'a> {
    network: &'a Network,
    normalisation: &'a Normalisation,
    test: &'a Evaluation,
}

/// Whether the nasty teacher that `recipe` made became nasty; none for other objectives.
fn nastiness(
    recipe: &Recipe,
    context: &mut Context<'_>,
    made: Made<'_>,
    data: &DataSet,
    held_out: Option<&ImageSet>,
) -> Result<Option<Nastiness>, JobError> {
    let Objective::SelfUndermining(SelfUndermining { adversary, temperature, .. }) = &recipe.objective else {
        return Ok(None);
    };
    let device = &context.workplace.device;
    let Loaded { network: adversary, config, .. } = context.network(adversary, data)?;
    let classes = data.classes.len();
    let (images, on) = held_out.map_or((&data.test, "test"), |images| (images, "held-out"));
    let of_adversary = |images: &ImageSet| all_logits(&adversary, &normalisation_of(&config), images, device);
    let nasty = all_logits(made.network, made.normalisation, images, device);
    let distance = mean_scaled_kl(&nasty, &of_adversary(images), classes, *temperature);
    let adversary = evaluate(&of_adversary(&data.test), &data.test.labels, classes);
    Ok(Some(Nastiness::judge(recipe, made.test, adversary, distance, on)))
}
