//! Inverts the reverse sigmoid in closed form, up to one unknown.
//!
//! The served row is `w/S` with `w_c = h(y_c)`, `h(r) = r − β(sigmoid(γ·ln(r/(1−r))) − ½)`. Where h increases it has an
//! inverse; the unknown S follows from `Σ y_c = 1`, a monotone equation. For γ < 1, h decreases near 0 and near 1 and
//! increases between r* and 1 − r*: probabilities below r* cannot be told from larger ones.

use crate::defences::Row;
use crate::defences::reverse_sigmoid::centred_sigmoid;

/// A row before the defence, as far as it can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Inverted {
    /// The row.
    pub row: Row,
    /// Where h begins to rise: true probabilities of at least this (and at most 1 less this) are recovered.
    pub rises_from: f64,
    /// Whether all classes lie where h rises, so that the row is the true one if the true one's classes do.
    pub inside: bool,
}

/// `h(r)`, for r in (0, 1).
fn h(r: f64, beta: f64, gamma: f64) -> f64 {
    r - beta * centred_sigmoid(gamma * (r / (1.0 - r)).ln())
}

/// Steps of each bisection: beyond the last bit.
const STEPS: usize = 100;

/// The x in [low, high] at which the rising `f` reaches `value`; an end if it does not.
fn reach(mut low: f64, mut high: f64, value: f64, f: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..STEPS {
        let middle = 0.5 * (low + high);
        if f(middle) < value { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Where h begins to rise: the smallest r with `r(1 − r) ≥ βγ·s(1 − s)`, s = sigmoid(γ·logit r). None if it does not rise
/// at ½, `βγ ≥ 1`.
fn rises_from(beta: f64, gamma: f64) -> Option<f64> {
    if beta * gamma >= 1.0 {
        return None;
    }
    // By the logit, in which the two sides are smooth far below the smallest probabilities of interest.
    let slope = |logit: f64| {
        let (r, s) = (centred_sigmoid(logit), centred_sigmoid(gamma * logit));
        (0.25 - r * r).ln() - (beta * gamma * (0.25 - s * s)).ln()
    };
    let logit = reach(-30.0, 0.0, 0.0, slope);
    Some(0.5 + centred_sigmoid(logit))
}

/// The row that reverse sigmoid with these parameters served as `served`, taking every class for one of those where h rises.
/// None where h does not rise at all, or where the classes are too many to be all as large.
pub fn invert_reverse_sigmoid(served: &Row, beta: f64, gamma: f64) -> Option<Inverted> {
    let least = rises_from(beta, gamma)?;
    if served.classes() as f64 * least > 1.0 {
        return None;
    }
    let inverse = |w: f64| reach(least, 1.0 - least, w, |r| h(r, beta, gamma));
    let largest = served.probabilities().iter().copied().fold(0.0, f64::max);
    // At this S the largest class reaches 1 − r*, and the sum 1.
    let high = h(1.0 - least, beta, gamma) / largest;
    let total = |s: f64| served.probabilities().iter().map(|p| inverse(s * p)).sum::<f64>();
    let scale = reach(0.0, high, 1.0, total);
    let ends = [least, 1.0 - least].map(|r| h(r, beta, gamma));
    let inside = served.probabilities().iter().all(|p| scale * p > ends[0] && scale * p < ends[1]);
    let row = Row::from_probabilities(
        &served.probabilities().iter().map(|p| inverse(scale * p)).collect::<Vec<_>>(),
    );
    Some(Inverted { row: row.ok()?, rises_from: least, inside })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defences::{Defence, ImageId, Query, ReverseSigmoid, Secret};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn rows_where_it_rises_are_recovered(
            weights in prop::collection::vec(0.01f64..1.0, 2..12),
            beta in 0.0f64..2.0,
            gamma in 0.01f64..0.45,
        ) {
            let row = Row::from_probabilities(&weights).expect("a row");
            let secret = Secret::of(b"x");
            let defence = ReverseSigmoid { beta, gamma };
            let served = defence.serve(&row, &Query::new(ImageId::of(b"x"), &secret, 0)).expect("it needs nothing");
            let Some(inverted) = invert_reverse_sigmoid(&served, beta, gamma) else {
                let least = rises_from(beta, gamma).expect("below 1");
                prop_assert!(least * row.classes() as f64 > 1.0);
                return Ok(());
            };
            let least = inverted.rises_from;
            if row.probabilities().iter().all(|p| *p > 1.01 * least && *p < 1.0 - 1.01 * least) {
                prop_assert!(inverted.inside);
                prop_assert!(inverted.row.l1(&row) < 1e-6, "{}: {:?} {:?}", least, row, inverted);
            }
        }
    }

    #[test]
    fn h_rises_from_there_and_not_before() {
        for (beta, gamma) in [(0.21, 0.2), (0.02, 0.2), (1.0, 0.1), (0.008, 0.2)] {
            let least = rises_from(beta, gamma).expect("below 1");
            let at = |r: f64| h(r, beta, gamma);
            assert!(at(least * 0.9) > at(least) && at(least * 1.1) > at(least), "{beta} {gamma}: {least}");
        }
        assert_eq!(rises_from(5.0, 0.2), None);
        let row = Row::from_probabilities(&[0.001; 1000]).expect("a row");
        assert_eq!(invert_reverse_sigmoid(&row, 1.0, 0.2), None);
    }
}
