//! The mean answer of each class instead of the answers.

use super::loot::Loot;
use super::method::Method;
use crate::training::{Distillation, NetworkRef, Objective};
use serde::{Deserialize, Serialize};

/// Distillation from the mean log-row of all images of the same class, in place of each image's own: what a defence changes in
/// single answers averages out, how the classes are alike remains. The published thief (the averager student) takes the mean
/// over a batch of 128, which hardly averages with many classes; this one takes it over all its images. The class is the
/// true label where the thief has labels, else the served class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassMean {
    /// τ.
    pub temperature: f64,
    /// α, the weight of the KL term.
    pub alpha: f64,
}

impl Method for ClassMean {
    fn name(&self) -> &'static str {
        "class-mean"
    }

    fn knows(&self) -> &'static str {
        "nothing of the defence"
    }

    fn settings(&self) -> Vec<(&'static str, f64)> {
        vec![("temperature", self.temperature)]
    }

    fn objective(&self, answers: NetworkRef) -> Objective {
        let Self { temperature, alpha } = *self;
        Objective::Distillation(Distillation { teacher: answers, temperature, alpha })
    }

    fn targets(&self, loot: &Loot<'_>) -> Result<Vec<f32>, String> {
        let classes = loot.classes;
        let rows = loot.log_rows();
        let mut sums = vec![0.0f64; classes * classes];
        let mut counts = vec![0usize; classes];
        for (row, &label) in rows.chunks_exact(classes).zip(loot.labels) {
            let label = usize::from(label);
            counts[label] += 1;
            sums[label * classes..][..classes].iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
        }
        let mean = |&label: &u16| {
            let label = usize::from(label);
            let count = counts[label] as f64;
            sums[label * classes..][..classes].iter().map(move |sum| (sum / count) as f32)
        };
        Ok(loot.labels.iter().flat_map(mean).collect())
    }
}
