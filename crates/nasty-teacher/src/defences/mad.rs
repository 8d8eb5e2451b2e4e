//! Maximising angular deviation (Orekondy et al., ICLR 2020): the row is moved towards the answer that turns a
//! surrogate's gradient the most.
//!
//! With the surrogate's gradients `G` (row k: that of `−ln p_k`), the answer ỹ trains the surrogate along `Gᵀỹ`. The
//! candidate with the largest `‖Gᵀỹ/‖Gᵀỹ‖ − Gᵀy/‖Gᵀy‖‖²` is mixed in, as far as ‖y' − y‖₁ ≤ ε allows.

use super::defence::Defence;
use super::error::DefenceError;
use super::facts::{Answers, Facts, Parameter, TopOne};
use super::query::{Need, Query};
use super::row::Row;

const EPSILON: Parameter = Parameter::real("epsilon", "the most that ‖y' − y‖₁ may be", 0.0, 2.0).or(1.0);

/// Candidates: the one-hot answers. The predicted class may change.
#[derive(Clone, Copy, Debug)]
pub struct Mad {
    /// The most that ‖y' − y‖₁ may be.
    pub epsilon: f64,
}

pub(super) static FACTS: Facts = Facts {
    name: "mad",
    about: "towards the one-hot answer that turns a surrogate's gradient the most",
    formula: "y' = (1−a)·y + a·ỹ, ỹ the best one-hot answer, a = min(1, ε/(‖y − ỹ‖₁ + 1e-7)). ‖y' − y‖₁ ≤ ε",
    source: "Orekondy et al., ICLR 2020 (MAD, extreme); ε 1 in ModelGuard's comparison",
    parameters: &[EPSILON],
    top1: TopOne::Changed,
    answers: Answers::Fixed,
    needs: &[Need::Gradients],
    build: |values| Box::new(Mad { epsilon: values[0] }),
};

/// Candidates: even answers over any set of classes that contains the predicted one, which gets 1e-5 more. It stays.
#[derive(Clone, Copy, Debug)]
pub struct MadArgmax {
    /// The most that ‖y' − y‖₁ may be.
    pub epsilon: f64,
}

pub(super) static FACTS_ARGMAX: Facts = Facts {
    name: "mad-argmax",
    about: "MAD among the answers that keep the predicted class",
    formula: "as mad, ỹ ∝ 1 on a set of classes with top, 1 + 1e-5 at top; all sets up to 10 classes, else grown greedily (at most 1,024 evaluated). ‖y' − y‖₁ ≤ ε",
    source: "Orekondy et al., ICLR 2020 (MAD, argmax); ε 1 in ModelGuard's comparison",
    parameters: &[EPSILON],
    top1: TopOne::Kept,
    answers: Answers::Fixed,
    needs: &[Need::Gradients],
    build: |values| Box::new(MadArgmax { epsilon: values[0] }),
};

/// What the predicted class gets beyond the others of its set.
const TOP_WEIGHT: f64 = 1e-5;
/// Up to so many classes all sets are tried.
const EXHAUSTIVE: usize = 10;
/// How many sets the greedy search may try.
const EVALUATIONS: usize = 1024;
/// What the greedy search adds to every clean probability.
const GREEDY_FLOOR: f64 = 1e-8;

/// An answer that was looked for, and how far it turns the gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Turned {
    /// ỹ, `[classes]`.
    pub answer: Vec<f64>,
    /// `‖Gᵀỹ/‖Gᵀỹ‖ − Gᵀy/‖Gᵀy‖‖²`.
    pub objective: f64,
}

/// The surrogate's gradients and the direction that the clean row teaches.
struct Surrogate<'a> {
    gradients: Vec<&'a [f64]>,
    clean: Vec<f64>,
}

impl<'a> Surrogate<'a> {
    fn new(gradients: Vec<&'a [f64]>, y: impl Iterator<Item = f64>) -> Self {
        let mut clean = vec![0.0; gradients[0].len()];
        for (gradient, weight) in gradients.iter().zip(y) {
            add(&mut clean, gradient, weight);
        }
        let clean = unit(&clean);
        Self { gradients, clean }
    }

    /// How far `direction` is turned from the clean one; 0 where either vanishes and so points nowhere.
    fn turn(&self, direction: &[f64]) -> f64 {
        unit(direction).iter().zip(&self.clean).map(|(a, b)| (a - b).powi(2)).sum()
    }
}

fn add(sum: &mut [f64], vector: &[f64], weight: f64) {
    sum.iter_mut().zip(vector).for_each(|(s, v)| *s += weight * v);
}

/// The vector of length 1 in the same direction; a vector of zeros stays.
fn unit(vector: &[f64]) -> Vec<f64> {
    let norm = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
    vector.iter().map(|v| if norm > 0.0 { v / norm } else { 0.0 }).collect()
}

/// The best of `candidates`; the first among equals.
fn best(candidates: impl Iterator<Item = (Vec<usize>, f64)>) -> (Vec<usize>, f64) {
    let better = |best: (Vec<usize>, f64), next: (Vec<usize>, f64)| if next.1 > best.1 { next } else { best };
    candidates.fold((Vec::new(), f64::NEG_INFINITY), better)
}

fn mixed(row: &Row, answer: &[f64], epsilon: f64) -> Row {
    let distance: f64 = row.probabilities().iter().zip(answer).map(|(p, q)| (p - q).abs()).sum();
    let share = (epsilon / (distance + 1e-7)).min(1.0);
    let mix = row.probabilities().iter().zip(answer).map(|(p, q)| (1.0 - share) * p + share * q);
    Row::from_weights(mix.collect(), row.top())
}

impl Mad {
    /// The one-hot answer that turns the gradient the most; the lowest class among equals.
    ///
    /// # Errors
    /// As [`Defence::serve`].
    pub fn search(&self, row: &Row, query: &Query<'_>) -> Result<Turned, DefenceError> {
        let gradients = query.inputs.gradients(FACTS.name, row.classes())?;
        let surrogate = Surrogate::new(gradients, row.probabilities().iter().copied());
        let candidates = (0..row.classes()).map(|k| (vec![k], surrogate.turn(surrogate.gradients[k])));
        let (class, objective) = best(candidates);
        let mut answer = vec![0.0; row.classes()];
        answer[class[0]] = 1.0;
        Ok(Turned { answer, objective })
    }
}

impl Defence for Mad {
    fn serve(&self, row: &Row, query: &Query<'_>) -> Result<Row, DefenceError> {
        Ok(mixed(row, &self.search(row, query)?.answer, self.epsilon))
    }

    fn l1_bound(&self, _: &Row) -> f64 {
        self.epsilon
    }
}

impl MadArgmax {
    /// The even answer with the predicted class that turns the gradient the most.
    ///
    /// # Errors
    /// As [`Defence::serve`].
    pub fn search(&self, row: &Row, query: &Query<'_>) -> Result<Turned, DefenceError> {
        let gradients = query.inputs.gradients(FACTS_ARGMAX.name, row.classes())?;
        let top = row.top();
        let (classes, objective) = if row.classes() <= EXHAUSTIVE {
            all_sets(&Surrogate::new(gradients, row.probabilities().iter().copied()), top)
        } else {
            greedy(&Surrogate::new(gradients, row.probabilities().iter().map(|p| p + GREEDY_FLOOR)), top)
        };
        let mut answer = vec![0.0; row.classes()];
        let sum = classes.len() as f64 + TOP_WEIGHT;
        for class in classes {
            answer[class] = if class == top { 1.0 + TOP_WEIGHT } else { 1.0 } / sum;
        }
        Ok(Turned { answer, objective })
    }
}

/// The direction of `{top}`; its length does not matter, so classes are added with weight 1.
fn top_alone(surrogate: &Surrogate<'_>, top: usize) -> Vec<f64> {
    surrogate.gradients[top].iter().map(|g| (1.0 + TOP_WEIGHT) * g).collect()
}

fn all_sets(surrogate: &Surrogate<'_>, top: usize) -> (Vec<usize>, f64) {
    let others: Vec<usize> = (0..surrogate.gradients.len()).filter(|c| *c != top).collect();
    best((0..1usize << others.len()).map(|set| {
        let mut classes = vec![top];
        classes.extend(others.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1).map(|(_, c)| *c));
        let mut direction = top_alone(surrogate, top);
        classes[1..].iter().for_each(|c| add(&mut direction, surrogate.gradients[*c], 1.0));
        let turn = surrogate.turn(&direction);
        (classes, turn)
    }))
}

/// Adds the class that turns the gradient the most, again and again, and takes the best set on the way.
fn greedy(surrogate: &Surrogate<'_>, top: usize) -> (Vec<usize>, f64) {
    let mut classes = vec![top];
    let mut direction = top_alone(surrogate, top);
    let mut found = (classes.clone(), f64::NEG_INFINITY);
    let mut left = EVALUATIONS;
    while left > 0 && classes.len() < surrogate.gradients.len() {
        let outside: Vec<usize> = (0..surrogate.gradients.len()).filter(|c| !classes.contains(c)).collect();
        let (class, turn) = best(outside.into_iter().take(left).map(|class| {
            let mut grown = direction.clone();
            add(&mut grown, surrogate.gradients[class], 1.0);
            (vec![class], surrogate.turn(&grown))
        }));
        left -= left.min(surrogate.gradients.len() - classes.len());
        classes.push(class[0]);
        add(&mut direction, surrogate.gradients[class[0]], 1.0);
        if turn > found.1 {
            found = (classes.clone(), turn);
        }
    }
    found
}

impl Defence for MadArgmax {
    fn serve(&self, row: &Row, query: &Query<'_>) -> Result<Row, DefenceError> {
        Ok(mixed(row, &self.search(row, query)?.answer, self.epsilon))
    }

    fn l1_bound(&self, _: &Row) -> f64 {
        self.epsilon
    }
}
