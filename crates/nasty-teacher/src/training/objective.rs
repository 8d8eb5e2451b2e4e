//! What is minimised for a batch. One training loop serves every objective.

use crate::losses;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

/// A trained network by its identity: the hash of the recipe that made it, or `weights-<hash>` for an imported one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetworkRef(pub String);

/// The training objective, with the frozen network that it asks for logits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Objective {
    /// Plain supervised training: a normal teacher, or a student alone.
    CrossEntropy {
        /// ε of label smoothing, 0 for none.
        label_smoothing: f64,
    },
    /// A nasty teacher (Ma et al., ICLR 2021).
    SelfUndermining {
        /// The adversarial network: normally trained, frozen.
        adversary: NetworkRef,
        /// τ of the KL term.
        temperature: f64,
        /// ω, the weight of the KL term.
        omega: f64,
    },
    /// A student that imitates a teacher's probabilities (Hinton et al., 2015).
    Distillation {
        /// The frozen teacher.
        teacher: NetworkRef,
        /// τ of the KL term.
        temperature: f64,
        /// α, the weight of the KL term; 1−α is the cross entropy's.
        alpha: f64,
    },
    /// A student that learns the teacher's predicted classes only; it never sees true labels.
    HardLabel {
        /// The frozen teacher.
        teacher: NetworkRef,
    },
}

impl Objective {
    /// The frozen network that this objective needs logits from.
    pub fn frozen(&self) -> Option<&NetworkRef> {
        match self {
            Self::CrossEntropy { .. } => None,
            Self::SelfUndermining { adversary: network, .. }
            | Self::Distillation { teacher: network, .. }
            | Self::HardLabel { teacher: network } => Some(network),
        }
    }

    /// The objective's name in files and tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CrossEntropy { .. } => "cross-entropy",
            Self::SelfUndermining { .. } => "self-undermining",
            Self::Distillation { .. } => "distillation",
            Self::HardLabel { .. } => "hard-label",
        }
    }

    /// The temperature, where there is one.
    pub fn temperature(&self) -> Option<f64> {
        match self {
            Self::SelfUndermining { temperature, .. } | Self::Distillation { temperature, .. } => {
                Some(*temperature)
            }
            Self::CrossEntropy { .. } | Self::HardLabel { .. } => None,
        }
    }

    /// The loss `[1]` of `logits` `[batch, classes]`, with the `frozen` network's logits where [`Self::frozen`] asks.
    ///
    /// # Panics
    /// If the objective needs frozen logits and there are none: the trainer provides them by construction.
    pub fn loss(&self, logits: Tensor<2>, frozen: Option<Tensor<2>>, labels: Tensor<1, Int>) -> Tensor<1> {
        let frozen = || frozen.expect("the trainer provides the logits of the frozen network");
        match *self {
            Self::CrossEntropy { label_smoothing } => losses::cross_entropy(logits, labels, label_smoothing),
            Self::SelfUndermining { temperature, omega, .. } => {
                losses::self_undermining(logits, frozen(), labels, temperature, omega)
            }
            Self::Distillation { temperature, alpha, .. } => {
                losses::distillation(logits, frozen(), labels, temperature, alpha)
            }
            Self::HardLabel { .. } => losses::cross_entropy(logits, frozen().argmax(1).squeeze_dim(1), 0.0),
        }
    }
}
