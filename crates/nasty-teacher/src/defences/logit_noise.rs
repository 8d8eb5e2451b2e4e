//! Gaussian noise on the logits, drawn anew for every answer or once per image.

use super::defence::Defence;
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::gaussian_noise::draw;
use super::query::Query;
use super::row::Row;

/// Noise added to every logit.
#[derive(Clone, Copy, Debug)]
pub struct LogitNoise {
    /// Its standard deviation.
    pub sigma: f64,
    /// Whether an image gets the same noise every time.
    pub keyed: bool,
}

const SIGMA: Parameter = Parameter::real("sigma", "the noise's standard deviation", 0.0, 1e3);

pub(super) static FACTS: Facts = Facts {
    name: "logit-noise",
    about: "Gaussian noise on the logits, fresh for every answer",
    formula: "y' = softmax(ln y + σ·n), n standard normal",
    source: "derived: zero-mean noise that needs no clipping",
    parameters: &[SIGMA],
    top1: TopOne::Changed,
    answers: Answers::Random,
    needs: &[],
    build: |values| Box::new(LogitNoise { sigma: values[0], keyed: false }),
};

pub(super) static FACTS_KEYED: Facts = Facts {
    name: "logit-noise-keyed",
    about: "Gaussian noise on the logits, the same for an image every time",
    formula: "y' = softmax(ln y + σ·n), n standard normal, fixed by the secret and the image",
    source: "derived: noise keyed against averaging of equal questions",
    parameters: &[SIGMA],
    top1: TopOne::Changed,
    answers: Answers::Keyed,
    needs: &[],
    build: |values| Box::new(LogitNoise { sigma: values[0], keyed: true }),
};

impl LogitNoise {
    /// `softmax(ln y + noise)` with given noise `[classes]`.
    ///
    /// # Panics
    /// If the noise is shorter than the row.
    pub fn with(row: &Row, noise: &[f64]) -> Row {
        assert!(noise.len() >= row.classes(), "noise for every class");
        Row::from_scores(row.logs().iter().zip(noise).map(|(l, n)| l + n).collect())
    }
}

impl Defence for LogitNoise {
    fn serve(&self, row: &Row, query: &Query<'_>) -> Result<Row, DefenceError> {
        Ok(Self::with(row, &draw(query, "logit-noise", self.keyed, self.sigma, row.classes())))
    }
}
