//! Recovery of rows by a table of what the known defence serves.

use super::loot::Loot;
use super::method::Method;
use crate::defences::recovery::AnswerTable;
use crate::defences::{ImageId, Query, Row, Secret, Stack, TopOne};
use crate::training::{Distillation, NetworkRef, Objective};
use crate::victim::{LOG_FLOOR, Scale};
use serde::{Deserialize, Serialize};

/// Temperatures at which the rows of the thief's own clone enter the table: it may be surer or less sure than the victim.
const SPREAD: [f64; 3] = [0.5, 1.0, 2.0];
/// ℓ1 distance within which served rows count as equal, as in the ModelGuard paper.
const TOLERANCE: f64 = 0.01;

/// Knows the defence and its parameters, not its secret (Kerckhoffs). Its own clone of the predicted classes gives clean
/// rows; it sends them through the defence, looks each served row up among the results, and distils the mean of the clean
/// rows that fit (partial Bayes of Tang et al., USENIX Security 2024, with a prior that a thief really has).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRecovery {
    /// The defence.
    pub defence: Stack,
    /// τ.
    pub temperature: f64,
    /// α.
    pub alpha: f64,
}

impl Method for TableRecovery {
    fn name(&self) -> &'static str {
        "table-recovery"
    }

    fn knows(&self) -> &'static str {
        "the defence and its parameters"
    }

    fn settings(&self) -> Vec<(&'static str, f64)> {
        vec![("temperature", self.temperature)]
    }

    fn needs_prior(&self) -> bool {
        true
    }

    fn objective(&self, answers: NetworkRef) -> Objective {
        let Self { temperature, alpha, .. } = *self;
        Objective::Distillation(Distillation { teacher: answers, temperature, alpha })
    }

    fn targets(&self, loot: &Loot<'_>) -> Result<Vec<f32>, String> {
        let mut clean = Vec::new();
        for row in loot.prior()? {
            for temperature in SPREAD {
                let tempered: Vec<f64> = row.iter().map(|z| f64::from(*z) / temperature).collect();
                clean.push(Row::from_logits(&tempered).map_err(|e| e.to_string())?);
            }
        }
        let guess = Secret::of(b"a thief's guess");
        let query = |i: usize| Query::new(ImageId::of(&(i as u64).to_le_bytes()), &guess, i as u64);
        let table = AnswerTable::of(&clean, &self.defence, query).map_err(|e| e.to_string())?;
        let same_top1 = self.defence.top1() == TopOne::Kept;
        let mut targets = Vec::with_capacity(loot.labels.len() * loot.classes);
        for row in loot.rows() {
            let row: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
            let served = match loot.scale {
                Scale::Logits => Row::from_logits(&row),
                Scale::Probabilities => Row::from_probabilities(&row),
            };
            let served = served.map_err(|e| e.to_string())?;
            // A class that the clone never predicts is not in the table: the answer is taken as it is.
            let found = table.recover(&served, TOLERANCE, same_top1).map_or(served, |found| found.row);
            targets.extend(found.probabilities().iter().map(|p| (p.max(f64::from(LOG_FLOOR))).ln() as f32));
        }
        Ok(targets)
    }
}
