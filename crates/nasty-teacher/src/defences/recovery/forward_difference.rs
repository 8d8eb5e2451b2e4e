//! Forward differences: the gradient of a black box, estimated from its answers.

/// `d/m · Σ [f(x + εu) − f(x)]/ε · u` over m directions `u` of length 1, with d the length of `x` (DFME, Truong et al., CVPR
/// 2021). Directions are normalised here; one of length 0 adds nothing. f is asked 1 + m times.
///
/// # Panics
/// If a direction is not as long as `x`.
pub fn forward_difference(
    x: &[f64],
    directions: &[impl AsRef<[f64]>],
    epsilon: f64,
    mut f: impl FnMut(&[f64]) -> f64,
) -> Vec<f64> {
    let here = f(x);
    let mut gradient = vec![0.0; x.len()];
    for direction in directions {
        let direction = direction.as_ref();
        assert_eq!(direction.len(), x.len(), "a direction of the same space");
        let norm = direction.iter().map(|u| u * u).sum::<f64>().sqrt();
        if norm == 0.0 {
            continue;
        }
        let moved: Vec<f64> = x.iter().zip(direction).map(|(x, u)| x + epsilon * (u / norm)).collect();
        let slope = (f(&moved) - here) / epsilon * x.len() as f64 / directions.len() as f64;
        gradient.iter_mut().zip(direction).for_each(|(g, u)| *g += slope * (u / norm));
    }
    gradient
}

#[cfg(test)]
mod tests {
    use super::forward_difference;

    #[test]
    fn all_axes_give_the_gradient_of_a_linear_function() {
        let axes = [[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]];
        let mut asked = 0;
        let gradient = forward_difference(&[1.0, 2.0, 3.0], &axes[..3], 1e-3, |x| {
            asked += 1;
            3.0 * x[0] - x[1] + 0.5 * x[2]
        });
        assert_eq!(asked, 4);
        for (g, expected) in gradient.iter().zip([3.0, -1.0, 0.5]) {
            assert!((g - expected).abs() < 1e-9, "{gradient:?}");
        }
        assert_eq!(forward_difference(&[1.0, 2.0, 3.0], &axes[3..], 1e-3, |_| 1.0), [0.0; 3]);
    }
}
