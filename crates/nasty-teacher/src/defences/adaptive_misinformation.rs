//! Adaptive Misinformation (Kariyappa & Qureshi, CVPR 2020): uncertain rows are replaced by those of a network that was
//! trained to be wrong.

use super::defence::Defence;
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::query::{Need, Query};
use super::reverse_sigmoid::centred_sigmoid;
use super::row::Row;

/// A switch by the largest probability. It bites only where the victim is unsure, that is out of its domain.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveMisinformation {
    /// The confidence at which half of either row is served.
    pub threshold: f64,
    /// How steep the switch is.
    pub steepness: f64,
}

pub(super) static FACTS: Facts = Facts {
    name: "adaptive-misinformation",
    about: "uncertain rows replaced by those of a network trained to be wrong",
    formula: "y' = (1−h)·y + h·y_wrong, h = 1/(1 + exp(−ν(τ − max y)))",
    source: "Kariyappa & Qureshi, CVPR 2020 (ν 10,000); ν 1,000 and τ 0.7 (10 classes) or 0.4 (100) in ModelGuard's comparison",
    parameters: &[
        Parameter::real("tau", "the confidence at which half of either row is served", 0.0, 1.0),
        Parameter::real("nu", "how steep the switch is", 0.0, 1e9).or(1000.0),
    ],
    top1: TopOne::Changed,
    answers: Answers::Fixed,
    needs: &[Need::WrongRow],
    build: |values| Box::new(AdaptiveMisinformation { threshold: values[0], steepness: values[1] }),
};

impl Defence for AdaptiveMisinformation {
    fn serve(&self, row: &Row, query: &Query<'_>) -> Result<Row, DefenceError> {
        let wrong = query.inputs.wrong_row(FACTS.name, row.classes())?;
        let surprise = self.steepness * (self.threshold - row.probabilities()[row.top()]);
        // By each its own exponential: a share near 0 keeps its digits.
        let (own, other) = (share(-surprise), share(surprise));
        let mix = row.probabilities().iter().zip(wrong.probabilities()).map(|(p, q)| own * p + other * q);
        Ok(Row::from_weights(mix.collect(), row.top()))
    }
}

/// `sigmoid(x)`.
fn share(x: f64) -> f64 {
    if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 0.5 + centred_sigmoid(x) }
}
