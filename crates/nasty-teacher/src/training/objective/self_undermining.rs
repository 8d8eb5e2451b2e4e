//! Nasty teachers.

use super::loss::{Guard, Loss, LossInput, temperature_problem};
use crate::losses;
use crate::training::NetworkRef;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// A nasty teacher (Ma et al., ICLR 2021): cross entropy minus ω times the scaled KL divergence from an adversary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SelfUndermining {
    /// The adversarial network: normally trained, frozen.
    pub adversary: NetworkRef,
    /// τ of the KL term.
    pub temperature: f64,
    /// ω, the weight of the KL term.
    pub omega: f64,
    /// How undermining goes on from the adversary's own weights, where the KL term has no gradient: `guard.boost` and
    /// `guard.tolerance`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

impl Loss for SelfUndermining {
    fn name(&self) -> &'static str {
        "self-undermining"
    }

    fn victim(&self) -> Option<&NetworkRef> {
        Some(&self.adversary)
    }

    fn temperature(&self) -> Option<f64> {
        Some(self.temperature)
    }

    fn problem(&self) -> Option<String> {
        let omega = self.omega.is_finite() && self.omega >= 0.0;
        let guard = self.guard.is_none_or(|guard| {
            guard.boost.is_finite() && guard.boost >= 1.0 && (0.0..=1.0).contains(&guard.tolerance)
        });
        temperature_problem(self.temperature)
            .or_else(|| {
                (!guard).then(|| {
                    "objective.guard.boost must be 1 or above, objective.guard.tolerance a share from 0 to 1".into()
                })
            })
            .or_else(|| (!omega).then(|| format!("objective.omega is {}, expected 0 or above", self.omega)))
            .or_else(|| self.adversary.problem("objective.adversary"))
    }

    fn guard(&self) -> Option<Guard> {
        self.guard
    }

    fn loss(&self, batch: LossInput) -> Tensor<1> {
        let adversary = batch.answers();
        let omega = self.omega * batch.undermining;
        losses::self_undermining(batch.logits, adversary, batch.labels, self.temperature, omega)
    }

    fn advice(&self) -> Option<&'static str> {
        Some("a smaller objective.omega (ω·τ²·KL outweighs the cross entropy)")
    }
}
