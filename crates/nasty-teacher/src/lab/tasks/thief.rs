//! Training of a clone on a victim's answers.

use super::forging::forge;
use super::loot::{Taught, answers, predicted, targets};
use super::making;
use crate::attacks::Images;
use crate::attacks::thieves::{Labels, ThiefRecipe};
use crate::data::{DataName, DataSet, ImageSet, Normalisation};
use crate::lab::context::Context;
use crate::lab::cost::{Estimate, Passes};
use crate::lab::data_facts::DataFacts;
use crate::lab::error::JobError;
use crate::lab::result::RESULT_FORMAT;
use crate::lab::task::TaskKind;
use crate::lab::task_end::Ended;
use crate::lab::thief_result::{Alike, ThiefResult};
use crate::lab::work::Work;
use crate::metrics::Bits;
use crate::nets::{self, Architecture, Input, NetError, NetworkConfig};
use crate::training::{NetworkRef, Outcome, Trained, Trainer, all_logits, evaluate};
use crate::victim::{Answers, LOG_FLOOR, Victim, argmax, log_probabilities};
use std::sync::Arc;

impl TaskKind for ThiefRecipe {
    fn hash(&self) -> String {
        ThiefRecipe::hash(self)
    }

    fn needs(&self) -> Vec<&NetworkRef> {
        [&self.asked, &self.served, &self.clean, &self.prior].into_iter().flatten().collect()
    }

    fn makes(&self) -> Option<Architecture> {
        Some(self.student)
    }

    fn data(&self) -> &DataName {
        // The students take what the test images are.
        &self.test.data.name
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn length(&self) -> usize {
        ThiefRecipe::length(self)
    }

    fn problem(&self) -> Option<String> {
        ThiefRecipe::problem(self)
    }

    fn cost(&self, estimate: &mut Estimate<'_>) -> Result<(), NetError> {
        let held = self.validation(self.images.count);
        let prior = if self.prior.is_some() { self.images.count } else { 0 };
        let passes = Passes { trained: self.passes(), forward: (held + self.test.count + prior) as f64 };
        let DataFacts { input, classes, .. } = *estimate.facts;
        if let Some((like, trained)) = self.making(input, classes, estimate.device)? {
            estimate.add(estimate.shape(like), Passes { trained, forward: 0.0 })?;
        }
        estimate.add(estimate.shape(self.student), passes)
    }
}

impl Work for ThiefRecipe {
    fn run(&self, context: &mut Context<'_>) -> Result<Ended, JobError> {
        let device = context.workplace.device.clone();
        let of = &self.test.data;
        let data = context.data(&of.name, of.side, &of.digest)?;
        let test = self.test.of(&data).map_err(|problem| context.refuse(problem))?;
        let stolen = match self.thief.forger() {
            Some(forger) => forge(self, forger, context, &data)?.map(|trained| {
                let steps = self.extent().map_or(0, |extent| extent.steps);
                Stolen { trained, validation: None, made: None, steps }
            }),
            None => learn(self, context, &data)?,
        };
        let Some(Stolen { trained, validation, made, steps }) = stolen else { return Ok(Ended::Stopped) };
        if !context.may_write() {
            return Ok(Ended::Stopped);
        }
        let (classes, input) = (data.classes.len(), Input { channels: test.channels, side: test.height });
        context.run.write_rows(&trained.rows)?;
        let network = self.student.build(classes, input, self.seed, &device)?;
        let network = network.load_state_dict(&trained.weights)?;
        let Normalisation { mean, std } = data.normalisation.clone();
        let config = NetworkConfig::new(&network, mean, std, data.classes.clone());
        let logits = all_logits(&network, &data.normalisation, &test, &device);
        let evaluation = evaluate(&logits, &test.labels, classes);
        trained.end.finite("test loss", evaluation.loss)?;
        let against = |reference: &Option<NetworkRef>| -> Result<Option<Alike>, JobError> {
            let Some(reference) = reference else { return Ok(None) };
            let (rows, scale) = answers(context, Some(reference), &test, 0)?;
            Ok(Some(compare(&Answers { scale, classes, rows }.log_rows(LOG_FLOOR), &logits, classes)))
        };
        let (served, clean) = (against(&self.served)?, against(&self.clean)?);
        let right: Vec<bool> =
            predicted(&logits, classes).iter().zip(&test.labels).map(|(a, b)| a == b).collect();
        let validation = validation.map(|images| {
            let own = all_logits(&network, &data.normalisation, &images, &device);
            let agreed = predicted(&own, classes).iter().zip(&images.labels).filter(|(a, b)| a == b).count();
            agreed as f64 / images.len() as f64
        });
        if !context.may_write() {
            return Ok(Ended::Stopped);
        }
        nets::save(&context.run.folder, &network, &config)?;
        let ended = context.finish(&ThiefResult {
            format: RESULT_FORMAT,
            recipe: context.run.hash.clone(),
            validation,
            right: Bits::from(right),
            test: evaluation,
            served,
            clean,
            made,
            steps,
            seconds: trained.seconds,
            machine: context.machine(),
            made_with: trained.provenance,
        })?;
        if let Some(maker) = self.thief.maker() {
            making::clear(maker, context)?;
        }
        Ok(ended)
    }
}

/// A clone, and what else is known of it.
struct Stolen {
    trained: Box<Trained>,
    /// Images that were held out; none if there are none.
    validation: Option<ImageSet>,
    /// Different images that it made and asked about.
    made: Option<usize>,
    /// Optimiser steps.
    steps: usize,
}

/// Trains the clone on the images that it has, and those that it makes of them; none if it was stopped.
fn learn(
    recipe: &ThiefRecipe,
    context: &mut Context<'_>,
    data: &DataSet,
) -> Result<Option<Stolen>, JobError> {
    let of = &recipe.images.data;
    let pool = context.data(&of.name, of.side, &of.digest)?;
    let refuse = |problem: String| context.refuse(problem);
    let mut images = recipe.images.of(&pool).map_err(refuse)?;
    let more = recipe.unlabelled.map(|count| Images { count, ..recipe.images.clone() }.of(&pool));
    let more = more.transpose().map_err(refuse)?;
    let classes = data.classes.len();
    if recipe.labels == Labels::Served {
        let (rows, _) = answers(context, recipe.asked.as_ref(), &images, 0)?;
        images.labels = predicted(&rows, classes);
    }
    let held = recipe.validation(images.len());
    let maker = recipe.thief.maker();
    let mut asked_about = None;
    if let Some((maker, budget)) = maker.zip(recipe.budget) {
        let cut = images.len() - held;
        let begun = images.subset(&(0..cut).collect::<Vec<_>>());
        let Some((all, made)) =
            making::make(recipe, maker, begun, budget.saturating_sub(held), context, data)?
        else {
            return Ok(None);
        };
        asked_about = Some(made);
        images = making::joined(&all, &images.subset(&(cut..images.len()).collect::<Vec<_>>()));
    }
    let targets = targets(recipe, context, &images, data)?;
    let cut = images.len() - held;
    let train = Arc::new(images.subset(&(0..cut).collect::<Vec<_>>()));
    let validation = images.subset(&(cut..images.len()).collect::<Vec<_>>());

    let training = recipe.training(cut);
    let device = context.workplace.device.clone();
    let input = Input { channels: data.test.channels, side: data.test.height };
    let network = recipe.student.build(classes, input, recipe.seed, &device.clone().autodiff())?;
    let taught = targets.map(|rows| Taught::new(classes, rows));
    let trainer = Trainer {
        recipe: &training,
        train,
        origin: None,
        unlabelled: more.as_ref(),
        selection: None,
        normalisation: &data.normalisation,
        victim: taught.as_ref().map(|taught| taught as &dyn Victim),
        floor: LOG_FLOOR,
        device: device.clone(),
    };
    let outcome = context.keeping(|kept| trainer.run(network, kept))?;
    let Outcome::Finished(trained) = outcome else { return Ok(None) };
    let validation = (held > 0).then_some(validation);
    let steps = training.epochs * cut.div_ceil(recipe.batch);
    Ok(Some(Stolen { trained, validation, made: asked_about, steps }))
}

/// How alike the answers `victim` and `clone` are, both log-rows.
fn compare(victim: &[f32], clone: &[f32], classes: usize) -> Alike {
    let pairs = || victim.chunks_exact(classes).zip(clone.chunks_exact(classes));
    let images = pairs().count().max(1) as f64;
    let kl = |(p, q): (&[f32], &[f32])| {
        let (p, q) = (log_probabilities(p, 1.0), log_probabilities(q, 1.0));
        p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>()
    };
    Alike {
        agreement: pairs().filter(|(p, q)| argmax(p) == argmax(q)).count() as f64 / images,
        kl: pairs().map(kl).sum::<f64>() / images,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_by_hand() {
        let half = 0.5f32.ln();
        let victim = [half, half, 0.0, -100.0];
        let found = compare(&victim, &victim, 2);
        assert!(found.agreement == 1.0 && found.kl.abs() < 1e-9);
        // KL((½, ½) ‖ (¾, ¼)) = ½·ln(2/3) + ½·ln 2.
        let found = compare(&victim[..2], &[0.25f32.ln(), 0.75f32.ln()], 2);
        assert!(found.agreement == 0.0 && (found.kl - 0.5 * (4.0f64 / 3.0).ln()).abs() < 1e-6);
    }
}
