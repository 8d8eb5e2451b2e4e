//! Gaussian noise on the probabilities, drawn anew for every answer or once per image.
//!
//! Fresh noise averages out over m equal queries as m^−½. Noise keyed by the image does not, but slightly different
//! images have independent noise.

use super::defence::Defence;
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::query::Query;
use super::row::Row;

/// Noise added to every probability.
#[derive(Clone, Copy, Debug)]
pub struct GaussianNoise {
    /// Its standard deviation.
    pub sigma: f64,
    /// Whether an image gets the same noise every time.
    pub keyed: bool,
}

const SIGMA: Parameter = Parameter::real("sigma", "the noise's standard deviation", 0.0, 1e3).or(0.2);

pub(super) static FACTS: Facts = Facts {
    name: "gaussian-noise",
    about: "Gaussian noise on the probabilities, fresh for every answer",
    formula: "y' ∝ max(0, y + σ·n), n standard normal",
    source: "Adversarial Robustness Toolbox (σ 0.2)",
    parameters: &[SIGMA],
    top1: TopOne::Changed,
    answers: Answers::Random,
    needs: &[],
    build: |values| Box::new(GaussianNoise { sigma: values[0], keyed: false }),
};

pub(super) static FACTS_KEYED: Facts = Facts {
    name: "gaussian-noise-keyed",
    about: "Gaussian noise on the probabilities, the same for an image every time",
    formula: "y' ∝ max(0, y + σ·n), n standard normal, fixed by the secret and the image",
    source: "derived: noise keyed against averaging of equal questions",
    parameters: &[SIGMA],
    top1: TopOne::Changed,
    answers: Answers::Keyed,
    needs: &[],
    build: |values| Box::new(GaussianNoise { sigma: values[0], keyed: true }),
};

impl GaussianNoise {
    /// `y' ∝ max(0, y + noise)` with given noise `[classes]`.
    ///
    /// # Panics
    /// If the noise is shorter than the row.
    pub fn with(row: &Row, noise: &[f64]) -> Row {
        assert!(noise.len() >= row.classes(), "noise for every class");
        let noisy = row.probabilities().iter().zip(noise).map(|(p, n)| (p + n).max(0.0));
        Row::from_weights(noisy.collect(), row.top())
    }
}

impl Defence for GaussianNoise {
    fn serve(&self, row: &Row, query: &Query<'_>) -> Result<Row, DefenceError> {
        Ok(Self::with(row, &draw(query, "gaussian-noise", self.keyed, self.sigma, row.classes())))
    }
}

/// `n` normal numbers of standard deviation `sigma`.
pub(super) fn draw(query: &Query<'_>, name: &str, keyed: bool, sigma: f64, n: usize) -> Vec<f64> {
    let mut stream = if keyed { query.keyed(name) } else { query.fresh(name) };
    (0..n).map(|_| sigma * f64::from(stream.normal())).collect()
}
