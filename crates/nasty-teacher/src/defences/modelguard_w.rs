//! ModelGuard-W (Tang et al., USENIX Security 2024): the row in an ℓ1 ball that reveals least about the clean one and
//! keeps the predicted class.
//!
//! The problem is linear, but needs no solver. For a given top mass t, every other class may have up to t − margin.
//! Mass above that is cut, missing mass goes to the cheapest classes, and what is left of ε moves mass from the most
//! expensive classes to the cheapest, at a cost of 2 per unit. The optimum is convex in t, so a one-dimensional search
//! finds it.

use super::defence::Defence;
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::query::Query;
use super::row::Row;

/// The minimiser of `Σ ln(y_c + 1e-6)·y'_c`.
#[derive(Clone, Copy, Debug)]
pub struct ModelGuardW {
    /// The most that ‖y' − y‖₁ may be.
    pub epsilon: f64,
}

pub(super) static FACTS: Facts = Facts {
    name: "modelguard-w",
    about: "the row in an ℓ1 ball that says least about the clean one, with the same predicted class",
    formula: "y' = argmin Σ ln(y_c + 1e-6)·y'_c over rows with ‖y' − y‖₁ ≤ ε and y'_top − y'_c ≥ 1e-4; y itself where there is none",
    source: "Tang et al., USENIX Security 2024 (ModelGuard-W, ε 1); solved exactly without a solver, derived",
    parameters: &[Parameter::real("epsilon", "the most that ‖y' − y‖₁ may be", 0.0, 2.0).or(1.0)],
    top1: TopOne::Kept,
    answers: Answers::Fixed,
    needs: &[],
    build: |values| Box::new(ModelGuardW { epsilon: values[0] }),
};

/// What is added to a clean probability before its logarithm is taken.
const FLOOR: f64 = 1e-6;
/// How far the predicted class stays above the others.
const MARGIN: f64 = 1e-4;
/// What rounding may do to a bound.
const SLACK: f64 = 1e-12;
/// Steps of the search, each of which leaves two thirds of the interval.
const STEPS: usize = 120;

struct Problem<'a> {
    y: &'a [f64],
    cost: Vec<f64>,
    top: usize,
    /// The other classes, the cheapest first.
    others: Vec<usize>,
    epsilon: f64,
}

/// How good a top mass is: feasible ones by their cost, and before all others; the rest by the ℓ1 that they need.
#[derive(PartialEq, PartialOrd)]
enum Value {
    Feasible(f64),
    Needs(f64),
}

impl<'a> Problem<'a> {
    fn new(row: &'a Row, epsilon: f64) -> Self {
        let y = row.probabilities();
        let top = row.top();
        let cost: Vec<f64> = y.iter().map(|p| (p + FLOOR).ln()).collect();
        let mut others: Vec<usize> = (0..y.len()).filter(|c| *c != top).collect();
        others.sort_by(|a, b| cost[*a].total_cmp(&cost[*b]));
        Self { y, cost, top, others, epsilon }
    }

    /// The best row with top mass `t`, from which all the others stay `MARGIN` away, and its value.
    fn at(&self, t: f64) -> (Value, Vec<f64>) {
        let cap = t - MARGIN;
        let mut x: Vec<f64> = self.y.iter().map(|p| p.min(cap)).collect();
        x[self.top] = t;
        let mut missing = 1.0 - t - self.others.iter().map(|c| x[*c]).sum::<f64>();
        for class in &self.others {
            let given = missing.clamp(0.0, (cap - x[*class]).max(0.0));
            x[*class] += given;
            missing -= given;
        }
        for class in self.others.iter().rev() {
            let taken = (-missing).clamp(0.0, x[*class]);
            x[*class] -= taken;
            missing += taken;
        }
        let used: f64 = x.iter().zip(self.y).map(|(a, b)| (a - b).abs()).sum();
        if used > self.epsilon + SLACK {
            return (Value::Needs(used), x);
        }
        self.swap(&mut x, cap, (self.epsilon - used) / 2.0);
        (Value::Feasible(x.iter().zip(&self.cost).map(|(p, cost)| p * cost).sum()), x)
    }

    /// Moves up to `amount` from the dearest classes to the cheapest.
    fn swap(&self, x: &mut [f64], cap: f64, mut amount: f64) {
        let (mut cheap, mut dear) = (0, self.others.len() - 1);
        while amount > 0.0 && cheap < dear {
            let (to, from) = (self.others[cheap], self.others[dear]);
            if self.cost[from] <= self.cost[to] {
                return;
            }
            let room = (cap - x[to]).max(0.0);
            let moved = amount.min(room).min(x[from]);
            x[to] += moved;
            x[from] -= moved;
            amount -= moved;
            if moved == room {
                cheap += 1;
            } else {
                dear -= 1;
            }
        }
    }

    fn solve(&self) -> Option<(f64, Vec<f64>)> {
        let classes = self.y.len() as f64;
        let own = self.y[self.top];
        // Below, the rest has no place under the cap.
        let mut low = (own - self.epsilon / 2.0).max((1.0 + (classes - 1.0) * MARGIN) / classes);
        let mut high = (own + self.epsilon / 2.0).min(1.0);
        if low > high {
            return None;
        }
        for _ in 0..STEPS {
            let third = (high - low) / 3.0;
            let (a, b) = (low + third, high - third);
            if self.at(a).0 <= self.at(b).0 { high = b } else { low = a }
        }
        // An optimum at an end of the interval is one of these, too.
        let ends = [low, high, 0.5 * (low + high)].map(|t| self.at(t));
        let best = ends.into_iter().reduce(|best, next| if next.0 < best.0 { next } else { best });
        match best {
            Some((Value::Feasible(cost), x)) => Some((cost, x)),
            _ => None,
        }
    }
}

impl ModelGuardW {
    /// The optimum `Σ ln(y_c + 1e-6)·y'_c` and its row; none where no row satisfies the constraints.
    pub fn solve(&self, row: &Row) -> Option<(f64, Vec<f64>)> {
        Problem::new(row, self.epsilon).solve()
    }
}

impl Defence for ModelGuardW {
    fn serve(&self, row: &Row, _: &Query<'_>) -> Result<Row, DefenceError> {
        Ok(match self.solve(row) {
            Some((_, x)) => Row::from_weights(x, row.top()),
            None => row.clone(),
        })
    }

    fn l1_bound(&self, _: &Row) -> f64 {
        self.epsilon
    }
}
