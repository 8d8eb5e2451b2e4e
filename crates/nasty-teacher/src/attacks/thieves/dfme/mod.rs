//! Data-free model extraction: images made to tell clone and victim apart, whose gradient is estimated from answers.

mod differences;
mod run;
#[cfg(test)]
mod tests;

use super::forger::{CloneTraining, Extent, Forger, Forgery, Through};
use super::method::Method;
use crate::nets::{Generator, Input, NetError};
use crate::training::{Distillation, NetworkRef, Objective, Optimiser, Outcome, RunContext, TrainError};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// Random numbers that an image is made of.
const LATENT: usize = 256;
/// Channels of the generator's first maps.
const WIDTH: usize = 128;
/// Steps of the clone after each step of the generator.
const CLONE_STEPS: usize = 5;
/// Images asked about in a round, in batches: each of the generator's twice.
const BATCHES_ASKED: usize = 2 + CLONE_STEPS;
/// Rounds that progress is counted by.
const EPOCH: usize = 10;
/// With 100,000 queries the generator takes 55 small steps: a clone of a Fashion-MNIST victim (88.5 %) was at chance, and of one with
/// images of 8 × 8 pixels (62.1 %) at 12.3 %. With a million queries the latter was at 19.6 %.
const LEAST_QUERIES: usize = 1_000_000;
/// The longest side: a batch of larger images does not fit into memory.
const MOST_SIDE: usize = 64;

/// DFME (Truong et al., *Data-Free Model Extraction*, CVPR 2021). A generator makes images out of noise, 256 at a time. In every round
/// it takes one step towards images on which clone and victim differ more, then the clone takes five steps towards the victim's answers
/// to its images. The difference is `mean_c |s_c − r_c|`, with s the clone's logits and `r = ln p − mean_c ln p` those recovered from
/// the served probabilities p. Probabilities below 1e-7 count as 1e-7: where an interface or a defence serves zeros, r is wrong there.
///
/// Nothing flows back through the victim, so the generator's gradient is a forward difference ([`Self::levels`]) along one random
/// direction for each image: two queries. A round is 7 batches, 1,792 queries. SGD (0.1, momentum 0.9, weight decay 5e-4) for the
/// clone, Adam (1e-4) for the generator; both rates fall to 0.3 of themselves after 0.1, 0.3 and 0.5 of the rounds. The clone of
/// the last step is kept; public code keeps the one that is best on the test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dfme {
    /// Levels, of 255, that a grey pixel is moved by on average (root mean square) to see how the difference changes. The published step
    /// is ε = 1e-3 in front of the tanh, along a direction of length 1: 0.002 levels in an image of 32 × 32 × 3. Images that are sent
    /// have 8 bits, in which such a step vanishes.
    ///
    /// The mean of 256 estimates for each of 48 images of 8 × 8 pixels had a cosine of 0.86 with the true gradient at 2 levels, 0.85 at 1,
    /// 0.83 at 4, 0.78 at 8, 0.60 at ¼ and 0.08 at the published step (victim `cnn16` on reduced Fashion-MNIST, clone `cnn4`). So many
    /// random directions cannot give more than 0.89.
    pub levels: f64,
}

impl Method for Dfme {
    fn name(&self) -> &'static str {
        "dfme"
    }

    fn knows(&self) -> &'static str {
        "nothing of the defence, and has no images: it makes its own"
    }

    fn forger(&self) -> Option<&dyn Forger> {
        Some(self)
    }

    fn problem(&self) -> Option<String> {
        let fine = self.levels.is_finite() && self.levels > 0.0;
        (!fine).then(|| format!("levels is {}, expected above 0", self.levels))
    }

    /// Its loop has its own loss; this stands for it where a recipe is checked.
    fn objective(&self, answers: NetworkRef) -> Objective {
        Objective::Distillation(Distillation { teacher: answers, temperature: 1.0, alpha: 1.0 })
    }
}

impl Forger for Dfme {
    fn least(&self) -> usize {
        LEAST_QUERIES
    }

    fn training(&self) -> CloneTraining {
        let optimiser = Optimiser::Sgd { momentum: 0.9, nesterov: false, weight_decay: 5e-4 };
        CloneTraining { optimiser, learning_rate: 0.1, batch: 256 }
    }

    fn extent(&self, budget: usize, batch: usize) -> Extent {
        let rounds = rounds(budget, batch);
        let each = |batches: usize| rounds * batches * batch;
        Extent {
            queries: each(BATCHES_ASKED),
            steps: rounds * CLONE_STEPS,
            epochs: rounds.div_ceil(EPOCH),
            forward: Through { clone: each(2), maker: each(CLONE_STEPS) },
            trained: Through { clone: each(CLONE_STEPS), maker: each(1) },
        }
    }

    fn macs(&self, input: Input, device: &Device) -> Result<u64, NetError> {
        Ok(Generator::before_tanh(LATENT, WIDTH, input, 0, device)?.macs())
    }

    fn misfit(&self, input: Input) -> Option<String> {
        if input.side > MOST_SIDE {
            return Some(format!("it makes images of up to {MOST_SIDE} pixels, these have {}", input.side));
        }
        Generator::check_input(input).err().map(|error| error.to_string())
    }

    fn forge(&self, with: &Forgery<'_>, context: RunContext<'_>) -> Result<Outcome, TrainError> {
        run::forge(with, self.levels, context)
    }
}

/// Whole rounds within `budget` queries.
fn rounds(budget: usize, batch: usize) -> usize {
    budget / (BATCHES_ASKED * batch)
}
