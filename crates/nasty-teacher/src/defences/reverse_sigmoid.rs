//! Reverse sigmoid: perturbs each probability against its own logit (Lee et al., 2019), in the three public versions,
//! which disagree. None of them keeps the predicted class for large β, since every small class gains β/2.

use super::defence::Defence;
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::query::Query;
use super::row::Row;

const BETA: Parameter = Parameter::real("beta", "the perturbation's size", 0.0, 1e3);
const GAMMA: Parameter = Parameter::real("gamma", "the perturbation's steepness", 0.0, 1e3);

/// Without clipping, with the limits at 0 and 1 taken.
#[derive(Clone, Copy, Debug)]
pub struct ReverseSigmoid {
    /// The perturbation's size.
    pub beta: f64,
    /// The perturbation's steepness.
    pub gamma: f64,
}

pub(super) static FACTS: Facts = Facts {
    name: "reverse-sigmoid",
    about: "each probability perturbed against its own logit",
    formula: "y'_c ∝ max(0, y_c − β·(sigmoid(γ·ln(y_c/(1−y_c))) − ½)); the limits ±β/2 at 0 and 1",
    source: "Lee et al., 2019, as Knockoff nets have it; β 0.21 and γ 0.2 are ModelGuard's for 10 classes",
    parameters: &[BETA.or(0.21), GAMMA.or(0.2)],
    top1: TopOne::Changed,
    answers: Answers::Fixed,
    needs: &[],
    build: |values| Box::new(ReverseSigmoid { beta: values[0], gamma: values[1] }),
};

/// `sigmoid(x) − ½`, in [−½, ½].
pub(super) fn centred_sigmoid(x: f64) -> f64 {
    0.5 * (0.5 * x).tanh()
}

/// `γ·logit`, 0 for γ = 0 even where the logit is infinite.
fn steep(gamma: f64, logit: f64) -> f64 {
    if gamma == 0.0 { 0.0 } else { gamma * logit }
}

fn served(row: &Row, perturbed: impl Fn(usize) -> f64) -> Row {
    Row::from_weights((0..row.classes()).map(|c| perturbed(c).max(0.0)).collect(), row.top())
}

impl Defence for ReverseSigmoid {
    fn serve(&self, row: &Row, _: &Query<'_>) -> Result<Row, DefenceError> {
        let perturbed = |c| {
            let logit = row.logs()[c] - row.log_rest(c);
            row.probabilities()[c] - self.beta * centred_sigmoid(steep(self.gamma, logit))
        };
        Ok(served(row, perturbed))
    }
}

/// The version of the Adversarial Robustness Toolbox: probabilities are clipped first, the result again.
#[derive(Clone, Copy, Debug)]
pub struct ReverseSigmoidClipped {
    /// The perturbation's size.
    pub beta: f64,
    /// The perturbation's steepness.
    pub gamma: f64,
}

pub(super) static FACTS_CLIPPED: Facts = Facts {
    name: "reverse-sigmoid-clipped",
    about: "reverse sigmoid as the Adversarial Robustness Toolbox has it",
    formula: "with r = y clipped to [1e-9, 1 − 1e-9]: y'_c ∝ (r_c − β·(sigmoid(γ·ln(r_c/(1−r_c))) − ½)) clipped to [0, 1]",
    source: "Lee et al., 2019, as the Adversarial Robustness Toolbox has it (β 1, γ 0.1)",
    parameters: &[BETA.or(1.0), GAMMA.or(0.1)],
    top1: TopOne::Changed,
    answers: Answers::Fixed,
    needs: &[],
    build: |values| Box::new(ReverseSigmoidClipped { beta: values[0], gamma: values[1] }),
};

const CLIP: f64 = 1e-9;

impl Defence for ReverseSigmoidClipped {
    fn serve(&self, row: &Row, _: &Query<'_>) -> Result<Row, DefenceError> {
        let perturbed = |c: usize| {
            let clipped = row.probabilities()[c].clamp(CLIP, 1.0 - CLIP);
            let logit = (clipped / (1.0 - clipped)).ln();
            (clipped - self.beta * centred_sigmoid(self.gamma * logit)).min(1.0)
        };
        Ok(served(row, perturbed))
    }
}

/// The version of GRAD²'s repository: the odds are clamped below 1, so a class with more than half is not lowered.
#[derive(Clone, Copy, Debug)]
pub struct ReverseSigmoidOdds {
    /// The perturbation's size.
    pub beta: f64,
    /// The perturbation's steepness.
    pub gamma: f64,
}

pub(super) static FACTS_ODDS: Facts = Facts {
    name: "reverse-sigmoid-odds",
    about: "reverse sigmoid as GRAD²'s repository has it",
    formula: "y'_c ∝ y_c − β·(sigmoid(γ·ln o_c) − ½), odds o_c = min(y_c/(1−y_c), 1 − 1e-12)",
    source: "Lee et al., 2019, as the repository of Mazeika et al., ICML 2022 has it (β 0.0025 to 1.28, γ 0.1 or 0.2)",
    parameters: &[BETA, GAMMA.or(0.2)],
    top1: TopOne::Changed,
    answers: Answers::Fixed,
    needs: &[],
    build: |values| Box::new(ReverseSigmoidOdds { beta: values[0], gamma: values[1] }),
};

/// `ln(1 − 1e-12)`.
const LOG_ODDS_BELOW_1: f64 = -1.000_000_000_000_5e-12;

impl Defence for ReverseSigmoidOdds {
    fn serve(&self, row: &Row, _: &Query<'_>) -> Result<Row, DefenceError> {
        let perturbed = |c| {
            let logit = (row.logs()[c] - row.log_rest(c)).min(LOG_ODDS_BELOW_1);
            row.probabilities()[c] - self.beta * centred_sigmoid(steep(self.gamma, logit))
        };
        Ok(served(row, perturbed))
    }
}
