//! Recovery of rows by a linear regression: the linear special case of a learnt inverse.

use super::loot::Loot;
use super::method::Method;
use crate::training::{Distillation, NetworkRef, Objective};
use crate::victim::log_probabilities;
use serde::{Deserialize, Serialize};

/// Weight of the ridge, as a share of the mean diagonal.
const RIDGE: f64 = 1e-3;

/// Fits `ln σ(prior) ≈ A·ln y' + b` by ridge regression, with its own clone of the predicted classes as the prior, and distils
/// the fitted rows. It needs no formula: it undoes whatever moves rows in the same way for all images of a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearRecovery {
    /// τ.
    pub temperature: f64,
    /// α.
    pub alpha: f64,
}

impl Method for LinearRecovery {
    fn name(&self) -> &'static str {
        "linear-recovery"
    }

    fn knows(&self) -> &'static str {
        "that there is a defence"
    }

    fn settings(&self) -> Vec<(&'static str, f64)> {
        vec![("temperature", self.temperature)]
    }

    fn needs_prior(&self) -> bool {
        true
    }

    fn objective(&self, answers: NetworkRef) -> Objective {
        let Self { temperature, alpha } = *self;
        Objective::Distillation(Distillation { teacher: answers, temperature, alpha })
    }

    fn targets(&self, loot: &Loot<'_>) -> Result<Vec<f32>, String> {
        let classes = loot.classes;
        let logs = |row: &[f32]| log_probabilities(row, 1.0);
        let served: Vec<Vec<f64>> = loot.log_rows().chunks_exact(classes).map(logs).collect();
        let wanted: Vec<Vec<f64>> = loot.prior()?.map(logs).collect();
        let map = fit(&served, &wanted).ok_or("the answers do not vary, so nothing can be fitted")?;
        Ok(served.iter().flat_map(|row| map.apply(row)).map(|v| v as f32).collect())
    }
}

/// `x ↦ A·(x − mean x) + mean y`.
struct Affine {
    /// `[outputs][inputs]`.
    matrix: Vec<Vec<f64>>,
    from: Vec<f64>,
    to: Vec<f64>,
}

impl Affine {
    fn apply(&self, x: &[f64]) -> Vec<f64> {
        let row = |(weights, to): (&Vec<f64>, &f64)| {
            to + weights.iter().zip(x).zip(&self.from).map(|((w, x), from)| w * (x - from)).sum::<f64>()
        };
        self.matrix.iter().zip(&self.to).map(row).collect()
    }
}

fn mean(rows: &[Vec<f64>]) -> Vec<f64> {
    let width = rows.first().map_or(0, Vec::len);
    (0..width).map(|c| rows.iter().map(|row| row[c]).sum::<f64>() / rows.len() as f64).collect()
}

/// The ridge regression of `y` on `x`, rows of numbers; none where `x` does not vary.
fn fit(x: &[Vec<f64>], y: &[Vec<f64>]) -> Option<Affine> {
    let (from, to) = (mean(x), mean(y));
    let (inputs, outputs) = (from.len(), to.len());
    let mut gram = vec![vec![0.0; inputs]; inputs];
    let mut cross = vec![vec![0.0; outputs]; inputs];
    for (x, y) in x.iter().zip(y) {
        let x: Vec<f64> = x.iter().zip(&from).map(|(x, m)| x - m).collect();
        for i in 0..inputs {
            gram[i].iter_mut().zip(&x).for_each(|(g, v)| *g += x[i] * v);
            cross[i].iter_mut().zip(y.iter().zip(&to)).for_each(|(c, (v, m))| *c += x[i] * (v - m));
        }
    }
    let diagonal = (0..inputs).map(|i| gram[i][i]).sum::<f64>() / inputs.max(1) as f64;
    if !(diagonal.is_finite() && diagonal > 0.0) {
        return None;
    }
    (0..inputs).for_each(|i| gram[i][i] += RIDGE * diagonal);
    let solved = solve(gram, cross)?;
    let matrix = (0..outputs).map(|o| (0..inputs).map(|i| solved[i][o]).collect()).collect();
    Some(Affine { matrix, from, to })
}

/// `X` with `A·X = B`, by Gaussian elimination with pivoting; none if A is singular.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    let n = a.len();
    for column in 0..n {
        let pivot = (column..n).max_by(|&i, &j| a[i][column].abs().total_cmp(&a[j][column].abs()))?;
        a.swap(column, pivot);
        b.swap(column, pivot);
        let lead = a[column][column];
        if lead == 0.0 {
            return None;
        }
        a[column].iter_mut().for_each(|v| *v /= lead);
        b[column].iter_mut().for_each(|v| *v /= lead);
        let (top, right) = (a[column].clone(), b[column].clone());
        for row in (0..n).filter(|&row| row != column) {
            let factor = a[row][column];
            a[row].iter_mut().zip(&top).for_each(|(v, t)| *v -= factor * t);
            b[row].iter_mut().zip(&right).for_each(|(v, t)| *v -= factor * t);
        }
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn an_affine_map_is_found() {
        let x: Vec<Vec<f64>> = (0..40).map(|i| vec![f64::from(i % 7), f64::from(i % 5) - 2.0]).collect();
        let y: Vec<Vec<f64>> = x.iter().map(|r| vec![2.0 * r[0] - r[1] + 3.0, 0.5 * r[1] - 1.0]).collect();
        let map = fit(&x, &y).expect("they vary");
        let found = map.apply(&[3.0, 1.0]);
        assert!((found[0] - 8.0).abs() < 0.05 && (found[1] + 0.5).abs() < 0.05, "{found:?}");
        assert!(fit(&[vec![1.0], vec![1.0]], &[vec![0.0], vec![1.0]]).is_none(), "nothing varies");
    }
}
