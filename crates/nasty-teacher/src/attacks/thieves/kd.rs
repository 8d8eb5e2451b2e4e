//! Knowledge distillation, tuned.

use super::loot::Loot;
use super::method::Method;
use crate::training::{Distillation, NetworkRef, Objective};
use crate::victim::log_probabilities;
use serde::{Deserialize, Serialize};

/// `α·τ²·KL(σ_τ(ln y') ‖ σ_τ(s)) + (1−α)·CE` (Hinton et al., 2015); τ, α and the floor are chosen by the thief's own held-out
/// images. A low τ hardly sees the tail, where many defences hide, and so does a floor under the probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kd {
    /// τ.
    pub temperature: f64,
    /// α.
    pub alpha: f64,
    /// Probabilities below this count as this; 0 for the answers as they are.
    pub floor: f64,
}

impl Method for Kd {
    fn name(&self) -> &'static str {
        "kd"
    }

    fn knows(&self) -> &'static str {
        "nothing of the defence"
    }

    fn settings(&self) -> Vec<(&'static str, f64)> {
        vec![("temperature", self.temperature), ("alpha", self.alpha), ("floor", self.floor)]
    }

    fn problem(&self) -> Option<String> {
        use crate::training::Loss;
        let floor = (!(0.0..1.0).contains(&self.floor))
            .then(|| format!("floor is {}, expected from 0 to below 1", self.floor));
        floor.or_else(|| self.objective(NetworkRef("0".repeat(16))).problem())
    }

    fn objective(&self, answers: NetworkRef) -> Objective {
        let Self { temperature, alpha, .. } = *self;
        Objective::Distillation(Distillation { teacher: answers, temperature, alpha })
    }

    fn targets(&self, loot: &Loot<'_>) -> Result<Vec<f32>, String> {
        if self.floor == 0.0 {
            return Ok(loot.log_rows());
        }
        let least = self.floor.ln();
        let rows = loot.log_rows();
        let floored = |row: &[f32]| {
            log_probabilities(row, 1.0).into_iter().map(|l| l.max(least) as f32).collect::<Vec<_>>()
        };
        Ok(rows.chunks_exact(loot.classes).flat_map(floored).collect())
    }
}
