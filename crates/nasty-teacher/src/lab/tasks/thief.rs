//! Training of a clone on a victim's answers.

use super::loot::{Taught, answers, predicted, targets};
use super::making;
use crate::attacks::Images;
use crate::attacks::thieves::{Labels, ThiefRecipe};
use crate::data::{DataName, Normalisation};
use crate::lab::context::Context;
use crate::lab::cost::{Estimate, Passes};
use crate::lab::error::JobError;
use crate::lab::result::RESULT_FORMAT;
use crate::lab::task::TaskKind;
use crate::lab::task_end::Ended;
use crate::lab::thief_result::{Alike, ThiefResult};
use crate::lab::work::Work;
use crate::metrics::Bits;
use crate::nets::{self, Architecture, Input, NetError, NetworkConfig};
use crate::training::{NetworkRef, Outcome, Trainer, all_logits, evaluate};
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
        self.epochs(self.trained())
    }

    fn problem(&self) -> Option<String> {
        ThiefRecipe::problem(self)
    }

    fn cost(&self, estimate: &mut Estimate<'_>) -> Result<(), NetError> {
        let held = self.validation(self.images.count);
        let prior = if self.prior.is_some() { self.images.count } else { 0 };
        let passes = Passes { trained: self.passes(), forward: (held + self.test.count + prior) as f64 };
        estimate.add(estimate.shape(self.student), passes)
    }
}

impl Work for ThiefRecipe {
    fn run(&self, context: &mut Context<'_>) -> Result<Ended, JobError> {
        let device = context.workplace.device.clone();
        let of = &self.test.data;
        let data = context.data(&of.name, of.side, &of.digest)?;
        let of = &self.images.data;
        let pool = context.data(&of.name, of.side, &of.digest)?;
        let refuse = |problem: String| context.refuse(problem);
        let test = self.test.of(&data).map_err(refuse)?;
        let mut images = self.images.of(&pool).map_err(refuse)?;
        let more = self.unlabelled.map(|count| Images { count, ..self.images.clone() }.of(&pool));
        let more = more.transpose().map_err(refuse)?;
        let classes = data.classes.len();
        if self.labels == Labels::Served {
            let (rows, _) = answers(context, self.asked.as_ref(), &images, 0)?;
            images.labels = predicted(&rows, classes);
        }
        let held = self.validation(images.len());
        let maker = self.thief.maker();
        let mut asked_about = None;
        if let Some((maker, budget)) = maker.zip(self.budget) {
            let cut = images.len() - held;
            let begun = images.subset(&(0..cut).collect::<Vec<_>>());
            let Some((all, made)) =
                making::make(self, maker, begun, budget.saturating_sub(held), context, &data)?
            else {
                return Ok(Ended::Stopped);
            };
            asked_about = Some(made);
            images = making::joined(&all, &images.subset(&(cut..images.len()).collect::<Vec<_>>()));
        }
        let targets = targets(self, context, &images, &data)?;
        let cut = images.len() - held;
        let train = Arc::new(images.subset(&(0..cut).collect::<Vec<_>>()));
        let validation = images.subset(&(cut..images.len()).collect::<Vec<_>>());

        let recipe = self.training(cut);
        let input = Input { channels: test.channels, side: test.height };
        let network = self.student.build(classes, input, self.seed, &device.clone().autodiff())?;
        let taught = targets.map(|rows| Taught::new(classes, rows));
        let trainer = Trainer {
            recipe: &recipe,
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
        let Outcome::Finished(trained) = outcome else { return Ok(Ended::Stopped) };
        if !context.may_write() {
            return Ok(Ended::Stopped);
        }
        context.run.write_rows(&trained.rows)?;
        let network = self.student.build(classes, input, self.seed, &device)?;
        let network = network.load_state_dict(&trained.weights)?;
        let Normalisation { mean, std } = data.normalisation.clone();
        let config = NetworkConfig::new(&network, mean, std, data.classes.clone());
        let logits = all_logits(&network, &data.normalisation, &test, &device);
        let own = all_logits(&network, &data.normalisation, &validation, &device);
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
        let agreed = predicted(&own, classes).iter().zip(&validation.labels).filter(|(a, b)| a == b).count();
        if !context.may_write() {
            return Ok(Ended::Stopped);
        }
        nets::save(&context.run.folder, &network, &config)?;
        let ended = context.finish(&ThiefResult {
            format: RESULT_FORMAT,
            recipe: context.run.hash.clone(),
            validation: (held > 0).then(|| agreed as f64 / held as f64),
            right: Bits::from(right),
            test: evaluation,
            served,
            clean,
            made: asked_about,
            steps: recipe.epochs * cut.div_ceil(self.batch),
            seconds: trained.seconds,
            machine: context.machine(),
            made_with: trained.provenance,
        })?;
        if let Some(maker) = maker {
            making::clear(maker, context)?;
        }
        Ok(ended)
    }
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
