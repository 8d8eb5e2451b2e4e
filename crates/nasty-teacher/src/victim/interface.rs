//! How much a victim reveals in its answers.

use super::{Answers, Scale, argmax, log_probabilities};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a victim's answers are given out. `y = softmax(z)` are the probabilities of the logits `z`; of equal numbers the one
/// with the lowest index counts as the larger one.
///
/// ```
/// use nasty_teacher::victim::{Interface, Scale};
///
/// assert!(Interface::TopK { k: 3 }.problem(Scale::Logits, 10).is_none());
/// // Who has probabilities only cannot serve logits.
/// assert!(Interface::Logits.problem(Scale::Probabilities, 10).is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Interface {
    /// The logits `z`.
    Logits,
    /// All probabilities `y`.
    Probabilities,
    /// The `k` largest of `y`, 0 for the others. What is left is not made to sum to 1.
    TopK {
        /// Classes that keep their probability.
        k: usize,
    },
    /// `y` rounded to decimals, halves away from 0: `round(y·10^d) / 10^d`. Rows are not made to sum to 1. Classes that
    /// become equal can change which one is predicted.
    Rounded {
        /// d, digits after the decimal point.
        decimals: u32,
    },
    /// 1 for the predicted class, 0 for the others.
    Label,
}

/// Beyond this f32 has no more digits.
const MOST_DECIMALS: u32 = 9;

impl Interface {
    /// The one that gives out answers of `scale` as they are.
    pub fn natural(scale: Scale) -> Self {
        match scale {
            Scale::Logits => Self::Logits,
            Scale::Probabilities => Self::Probabilities,
        }
    }

    /// Why a victim with answers of `scale` for `classes` classes cannot serve this; `None` if it can.
    pub fn problem(self, scale: Scale, classes: usize) -> Option<String> {
        match self {
            Self::Logits if scale == Scale::Probabilities => {
                Some("it has probabilities only, and logits do not follow from them".into())
            }
            Self::TopK { k } if !(1..=classes).contains(&k) => {
                Some(format!("k is {k}, expected 1 to {classes}, the number of classes"))
            }
            Self::Rounded { decimals } if decimals > MOST_DECIMALS => {
                Some(format!("decimals is {decimals}, expected at most {MOST_DECIMALS}"))
            }
            _ => None,
        }
    }

    /// Full `answers` as this interface gives them out.
    ///
    /// # Panics
    /// For logits of answers that are probabilities: see [`Self::problem`].
    pub fn apply(self, answers: Answers) -> Answers {
        match self {
            Self::Logits => {
                assert_eq!(answers.scale, Scale::Logits, "logits do not follow from probabilities");
                answers
            }
            Self::Probabilities => probabilities(answers),
            Self::TopK { k } => by_row(probabilities(answers), |row| {
                let mut order: Vec<usize> = (0..row.len()).collect();
                // A stable sort: equal ones stay in the order of their indices.
                order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
                order.iter().skip(k).for_each(|&class| row[class] = 0.0);
            }),
            Self::Rounded { decimals } => by_row(probabilities(answers), |row| {
                let scale = 10f64.powi(decimals as i32);
                row.iter_mut().for_each(|y| *y = ((f64::from(*y) * scale).round() / scale) as f32);
            }),
            Self::Label => {
                let one_hot = by_row(answers, |row| {
                    let predicted = argmax(row);
                    row.iter_mut()
                        .enumerate()
                        .for_each(|(class, y)| *y = f32::from(u8::from(class == predicted)));
                });
                Answers { scale: Scale::Probabilities, ..one_hot }
            }
        }
    }
}

fn by_row(mut answers: Answers, change: impl Fn(&mut [f32])) -> Answers {
    answers.rows.chunks_exact_mut(answers.classes.max(1)).for_each(change);
    answers
}

fn probabilities(answers: Answers) -> Answers {
    if answers.scale == Scale::Probabilities {
        return answers;
    }
    let softmax = by_row(answers, |row| {
        let logs = log_probabilities(row, 1.0);
        row.iter_mut().zip(logs).for_each(|(y, log)| *y = log.exp() as f32);
    });
    Answers { scale: Scale::Probabilities, ..softmax }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Logits => f.write_str("logits"),
            Self::Probabilities => f.write_str("probabilities"),
            Self::TopK { k } => write!(f, "the top {k} probabilities"),
            Self::Rounded { decimals } => write!(f, "probabilities rounded to {decimals} decimals"),
            Self::Label => f.write_str("the predicted class only"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Interface; 5] = [
        Interface::Logits,
        Interface::Probabilities,
        Interface::TopK { k: 2 },
        Interface::Rounded { decimals: 1 },
        Interface::Label,
    ];

    fn served(interface: Interface, scale: Scale, row: &[f32]) -> Vec<f32> {
        interface.apply(Answers { scale, classes: row.len(), rows: row.to_vec() }).rows
    }

    #[test]
    fn every_interface_by_hand() {
        // Probabilities ½, ¼, ¼.
        let logits = [2f32.ln(), 0.0, 0.0];
        let of_logits = |interface| served(interface, Scale::Logits, &logits);
        assert_eq!(of_logits(Interface::Logits), logits);
        assert_eq!(of_logits(Interface::Probabilities), [0.5, 0.25, 0.25]);
        assert_eq!(of_logits(Interface::TopK { k: 2 }), [0.5, 0.25, 0.0], "of equal ones the first");
        assert_eq!(of_logits(Interface::Rounded { decimals: 1 }), [0.5, 0.3, 0.3], "halves away from 0");
        assert_eq!(of_logits(Interface::Rounded { decimals: 0 }), [1.0, 0.0, 0.0]);
        assert_eq!(of_logits(Interface::Label), [1.0, 0.0, 0.0]);
        let equal = [0.3, 0.35, 0.35];
        assert_eq!(served(Interface::Label, Scale::Probabilities, &equal), [0.0, 1.0, 0.0]);
        assert_eq!(served(Interface::TopK { k: 1 }, Scale::Probabilities, &equal), [0.0, 0.35, 0.0]);
        assert_eq!(served(Interface::Probabilities, Scale::Probabilities, &equal), equal);
    }

    #[test]
    fn impossible_interfaces_are_explained() {
        let problem = |i: Interface| i.problem(Scale::Probabilities, 3);
        assert!(problem(Interface::Logits).expect("no logits").contains("probabilities only"));
        assert!(problem(Interface::TopK { k: 0 }).expect("none").contains("expected 1 to 3"));
        assert!(problem(Interface::TopK { k: 4 }).is_some() && problem(Interface::TopK { k: 3 }).is_none());
        assert!(problem(Interface::Rounded { decimals: 10 }).expect("too many").contains("at most 9"));
        assert_eq!(Interface::Logits.problem(Scale::Logits, 3), None);
    }

    proptest! {
        #[test]
        fn less_is_given_out_and_rows_do_not_depend_on_each_other(
            rows in prop::collection::vec(prop::collection::vec(-30f32..30.0, 4), 1..6),
        ) {
            let all = Answers { scale: Scale::Logits, classes: 4, rows: rows.concat() };
            for interface in ALL {
                let together = interface.apply(all.clone());
                let apart: Vec<f32> =
                    rows.iter().flat_map(|row| served(interface, Scale::Logits, row)).collect();
                prop_assert_eq!(&together.rows, &apart);
                if interface == Interface::Logits { continue; }
                prop_assert_eq!(together.scale, Scale::Probabilities);
                for (row, logits) in together.rows.chunks_exact(4).zip(&rows) {
                    prop_assert!(row.iter().all(|y| (0.0..=1.0).contains(y)));
                    // Rounding is the one that may hide which class is predicted.
                    if !matches!(interface, Interface::Rounded { .. }) {
                        prop_assert!(row[argmax(row)] == row[argmax(logits)]);
                    }
                }
            }
        }
    }
}
