//! Margin budget: logits are pushed in a direction that harms a proxy student, as far as the predicted class stays the
//! same.
//!
//! The idea is that of antidistillation sampling for classifiers (ADS-C, arXiv 2607.15467). Its formula could not be
//! found in public; both variants here are derived. The direction is Δ, the change of a proxy's logits along the
//! gradient g of its hold-out loss: `[z(θ + εg) − z(θ − εg)]/2ε`. A temperature may follow as a second defence.

use super::defence::Defence;
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::query::{Need, Query};
use super::row::Row;

const LAMBDA: Parameter = Parameter::real("lambda", "how far the logits are pushed", 0.0, 1e9);

/// The whole row is pushed along Δ, up to the point where the first class would reach the predicted one.
#[derive(Clone, Copy, Debug)]
pub struct MarginBudgetScaling {
    /// How far the logits are pushed at most.
    pub lambda: f64,
    /// The share κ of the way to the first tie that may be used.
    pub keep: f64,
}

pub(super) static FACTS_SCALING: Facts = Facts {
    name: "margin-budget-scaling",
    about: "logits pushed along a proxy's Δ, the whole row as far as the predicted class allows",
    formula: "y' = softmax(z + min(λ, κλ*)·Δ), λ* = min over Δ_c > Δ_top of (z_top − z_c)/(Δ_c − Δ_top)",
    source: "derived, after ADS-C (arXiv 2607.15467); one near-tied class silences the row",
    parameters: &[
        LAMBDA,
        Parameter::real("keep", "the share of the way to the first tie", 0.0, 0.9999).or(0.9),
    ],
    top1: TopOne::Kept,
    answers: Answers::Fixed,
    needs: &[Need::ProxyShift],
    build: |values| Box::new(MarginBudgetScaling { lambda: values[0], keep: values[1] }),
};

/// Every class is pushed along Δ on its own, up to a margin below the predicted one.
#[derive(Clone, Copy, Debug)]
pub struct MarginBudgetClipping {
    /// How far the logits are pushed at most.
    pub lambda: f64,
    /// The margin m below the predicted class's logit.
    pub margin: f64,
}

pub(super) static FACTS_CLIPPING: Facts = Facts {
    name: "margin-budget-clipping",
    about: "logits pushed along a proxy's Δ, each class up to a margin below the predicted one",
    formula: "y' = softmax(z + δ), δ_c = min(λ(Δ_c − Δ_top), max(0, z_top − z_c − m)), δ_top = 0",
    source: "derived, after ADS-C (arXiv 2607.15467); every class's own margin is used",
    parameters: &[LAMBDA, Parameter::real("margin", "how far below the top logit", 1e-6, 1e6).or(0.1)],
    top1: TopOne::Kept,
    answers: Answers::Fixed,
    needs: &[Need::ProxyShift],
    build: |values| Box::new(MarginBudgetClipping { lambda: values[0], margin: values[1] }),
};

/// Of every class: its logit's distance below the top one's, and how much faster than it Δ raises it.
fn gaps(row: &Row, delta: &[f64]) -> Vec<(f64, f64)> {
    let top = row.top();
    row.logs().iter().zip(delta).map(|(z, d)| (row.logs()[top] - z, d - delta[top])).collect()
}

impl MarginBudgetScaling {
    /// `min(λ, κλ*)`.
    ///
    /// # Errors
    /// As [`Defence::serve`].
    pub fn strength(&self, row: &Row, query: &Query<'_>) -> Result<f64, DefenceError> {
        let delta = query.inputs.vector(FACTS_SCALING.name, Need::ProxyShift, row.classes())?;
        let rising = gaps(row, delta).into_iter().filter(|(_, speed)| *speed > 0.0);
        let tie = rising.map(|(gap, speed)| gap / speed).fold(f64::INFINITY, f64::min);
        // Nothing times infinity is nothing here.
        Ok(if self.keep == 0.0 && tie.is_infinite() { self.lambda } else { self.lambda.min(self.keep * tie) })
    }
}

impl Defence for MarginBudgetScaling {
    fn serve(&self, row: &Row, query: &Query<'_>) -> Result<Row, DefenceError> {
        let strength = self.strength(row, query)?;
        let delta = query.inputs.vector(FACTS_SCALING.name, Need::ProxyShift, row.classes())?;
        // Relative to the top class, so that large shifts common to all classes cost no digits.
        Ok(Row::from_scores(gaps(row, delta).iter().map(|(gap, speed)| strength * speed - gap).collect()))
    }
}

impl Defence for MarginBudgetClipping {
    fn serve(&self, row: &Row, query: &Query<'_>) -> Result<Row, DefenceError> {
        let delta = query.inputs.vector(FACTS_CLIPPING.name, Need::ProxyShift, row.classes())?;
        let top = row.top();
        let pushed = |(c, (gap, speed)): (usize, &(f64, f64))| {
            if c == top {
                return 0.0;
            }
            (self.lambda * speed).min((gap - self.margin).max(0.0)) - gap
        };
        Ok(Row::from_scores(gaps(row, delta).iter().enumerate().map(pushed).collect()))
    }
}
