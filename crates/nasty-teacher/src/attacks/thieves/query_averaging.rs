//! The mean of several answers to each image.

use super::loot::Loot;
use super::method::Method;
use crate::defences::Row;
use crate::defences::recovery::average;
use crate::training::{Distillation, NetworkRef, Objective};
use crate::victim::Scale;
use serde::{Deserialize, Serialize};

/// Answers that are averaged.
const TIMES: usize = 3;

/// Asks every image three times and distils the mean of the answers: of fresh noise of mean zero, `3^−½` remains. Every answer is
/// a query, so it has a third of the images that others have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryAveraging {
    /// τ.
    pub temperature: f64,
    /// α.
    pub alpha: f64,
}

impl Method for QueryAveraging {
    fn name(&self) -> &'static str {
        "query-averaging"
    }

    fn knows(&self) -> &'static str {
        "that the answers are random"
    }

    fn settings(&self) -> Vec<(&'static str, f64)> {
        vec![("temperature", self.temperature)]
    }

    fn answers(&self) -> usize {
        TIMES
    }

    fn objective(&self, answers: NetworkRef) -> Objective {
        let Self { temperature, alpha } = *self;
        Objective::Distillation(Distillation { teacher: answers, temperature, alpha })
    }

    fn targets(&self, loot: &Loot<'_>) -> Result<Vec<f32>, String> {
        let mut targets = Vec::with_capacity(loot.labels.len() * loot.classes);
        for image in 0..loot.labels.len() {
            let answer = |round: &Vec<f32>| {
                let row: Vec<f64> =
                    round[image * loot.classes..][..loot.classes].iter().map(|v| f64::from(*v)).collect();
                match loot.scale {
                    Scale::Logits => Row::from_logits(&row),
                    Scale::Probabilities => Row::from_probabilities(&row),
                }
            };
            let rows: Result<Vec<Row>, _> = loot.rounds.iter().map(answer).collect();
            let mean = rows.and_then(|rows| average(&rows)).map_err(|e| e.to_string())?;
            targets.extend(mean.probabilities().iter().map(|p| p.max(1e-7).ln() as f32));
        }
        Ok(targets)
    }
}
