//! Product of experts: mixes the victim's logits with those of a proxy.

use super::defence::Defence;
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::query::{Need, Query};
use super::row::Row;

/// A geometric mean of two rows.
#[derive(Clone, Copy, Debug)]
pub struct ProductOfExperts {
    /// The proxy's share.
    pub gamma: f64,
}

pub(super) static FACTS: Facts = Facts {
    name: "product-of-experts",
    about: "the victim's logits mixed with those of a proxy",
    formula: "y' = softmax((1−γ)·ln y + γ·z_proxy)",
    source: "the code of antidistillation sampling (locuslab), γ 0.6",
    parameters: &[Parameter::real("gamma", "the proxy's share", 0.0, 1.0).or(0.6)],
    top1: TopOne::Changed,
    answers: Answers::Fixed,
    needs: &[Need::ProxyLogits],
    build: |values| Box::new(ProductOfExperts { gamma: values[0] }),
};

impl Defence for ProductOfExperts {
    fn serve(&self, row: &Row, query: &Query<'_>) -> Result<Row, DefenceError> {
        let proxy = query.inputs.vector(FACTS.name, Need::ProxyLogits, row.classes())?;
        let mixed = |(l, z): (&f64, &f64)| {
            // A class that is never served stays so, and has no say where its share is 0.
            let own = if self.gamma == 1.0 { 0.0 } else { (1.0 - self.gamma) * l };
            own + self.gamma * z
        };
        Ok(Row::from_scores(row.logs().iter().zip(proxy).map(mixed).collect()))
    }
}
