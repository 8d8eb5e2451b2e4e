//! Gradient redirection, GRAD² (Mazeika et al., ICML 2022): probability is moved so that a surrogate's gradient is
//! pushed along a chosen direction.

use super::defence::Defence;
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::query::{Need, Query};
use super::row::Row;

/// The exact minimiser of `⟨g, ỹ⟩` in the ℓ1 ball, with g the derivative by each served probability.
#[derive(Clone, Copy, Debug)]
pub struct GradientRedirection {
    /// The most that ‖y' − y‖₁ may be.
    pub epsilon: f64,
}

pub(super) static FACTS: Facts = Facts {
    name: "gradient-redirection",
    about: "probability moved to where it pushes a surrogate's gradient along a direction",
    formula: "y' = argmin ⟨g, ỹ⟩ over rows with ‖ỹ − y‖₁ ≤ ε: min(1 − y_b, ε/2) goes to b = argmin g, taken from the largest g downward",
    source: "Mazeika et al., ICML 2022 (GRAD²); all-ones direction v in their code",
    parameters: &[Parameter::real("epsilon", "the most that ‖y' − y‖₁ may be", 0.0, 2.0)],
    top1: TopOne::Changed,
    answers: Answers::Fixed,
    needs: &[Need::Direction],
    build: |values| Box::new(GradientRedirection { epsilon: values[0] }),
};

impl Defence for GradientRedirection {
    fn serve(&self, row: &Row, query: &Query<'_>) -> Result<Row, DefenceError> {
        let g = query.inputs.vector(FACTS.name, Need::Direction, row.classes())?;
        let mut moved = row.probabilities().to_vec();
        // From the smallest to the largest; the first takes what the last give.
        let mut classes: Vec<usize> = (0..row.classes()).collect();
        classes.sort_by(|a, b| g[*a].total_cmp(&g[*b]));
        let receiver = classes[0];
        let mut amount = (1.0 - moved[receiver]).min(self.epsilon / 2.0);
        // Of equal g the lowest class gives first.
        classes[1..].sort_by(|a, b| g[*b].total_cmp(&g[*a]));
        for class in &classes[1..] {
            let taken = moved[*class].min(amount);
            moved[*class] -= taken;
            moved[receiver] += taken;
            amount -= taken;
        }
        Ok(Row::from_weights(moved, row.top()))
    }

    fn l1_bound(&self, _: &Row) -> f64 {
        self.epsilon
    }
}
