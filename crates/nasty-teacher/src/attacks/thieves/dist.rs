//! DIST: correlations instead of probabilities.

use super::method::Method;
use crate::training::{self, NetworkRef, Objective};
use serde::{Deserialize, Serialize};

/// DIST (Huang et al., NeurIPS 2022): the correlation of rows and of columns does not depend on scale and offset, so that
/// flattening and sharpening hardly matter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dist {
    /// τ.
    pub temperature: f64,
}

impl Method for Dist {
    fn name(&self) -> &'static str {
        "dist"
    }

    fn knows(&self) -> &'static str {
        "nothing of the defence"
    }

    fn settings(&self) -> Vec<(&'static str, f64)> {
        vec![("temperature", self.temperature)]
    }

    fn objective(&self, answers: NetworkRef) -> Objective {
        let temperature = self.temperature;
        let (inter, intra, weight, labels) = (1.0, 1.0, 2.0, 1.0);
        Objective::Dist(training::Dist { teacher: answers, temperature, inter, intra, weight, labels })
    }
}
