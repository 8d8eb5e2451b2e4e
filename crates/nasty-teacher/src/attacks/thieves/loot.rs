//! What a thief has got hold of before it trains.

use crate::victim::{LOG_FLOOR, Scale};

/// A victim's answers to a thief's images, with the labels that the thief goes by.
#[derive(Clone, Debug)]
pub struct Loot<'a> {
    /// Classes.
    pub classes: usize,
    /// What the numbers of the answers are.
    pub scale: Scale,
    /// The answers, round after round: each `[images, classes]`. The first round is what is usually used.
    pub rounds: Vec<Vec<f32>>,
    /// `[images]`: true labels, or the served classes where the thief has none.
    pub labels: &'a [u16],
    /// Logits `[images, classes]` of a clone that learnt the predicted classes, for thieves that need one.
    pub prior: Option<Vec<f32>>,
}

impl Loot<'_> {
    /// The answers of the first round as log-rows; see [`Answers::log_rows`](crate::victim::Answers::log_rows).
    pub fn log_rows(&self) -> Vec<f32> {
        self.log_rows_of(&self.rounds[0])
    }

    /// The answers of the first round, row by row.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.rounds[0].chunks_exact(self.classes)
    }

    /// The rows of the clone that learnt the predicted classes.
    ///
    /// # Errors
    /// If there is none.
    pub fn prior(&self) -> Result<impl Iterator<Item = &[f32]>, String> {
        let prior = self.prior.as_ref().ok_or("it needs a clone of the predicted classes first")?;
        Ok(prior.chunks_exact(self.classes))
    }

    fn log_rows_of(&self, rows: &[f32]) -> Vec<f32> {
        match self.scale {
            Scale::Logits => rows.to_vec(),
            Scale::Probabilities => rows.iter().map(|y| y.max(LOG_FLOOR).ln()).collect(),
        }
    }
}
