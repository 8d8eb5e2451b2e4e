//! Principal components, the starting point of t-SNE.

/// The first two principal components, the first of standard deviation 1e-4, as scikit-learn starts.
pub(super) fn principal_plane(vectors: &[f64], size: usize, n: usize) -> Vec<[f64; 2]> {
    let mut means = vec![0.0; size];
    for row in vectors.chunks_exact(size) {
        means.iter_mut().zip(row).for_each(|(m, v)| *m += v / n as f64);
    }
    let centred: Vec<f64> = vectors.iter().enumerate().map(|(k, v)| v - means[k % size]).collect();
    let first = principal(&centred, size, None);
    let second = principal(&centred, size, Some(&first));
    let project = |axis: &[f64], row: &[f64]| row.iter().zip(axis).map(|(a, b)| a * b).sum::<f64>();
    let mut y: Vec<[f64; 2]> =
        centred.chunks_exact(size).map(|row| [project(&first, row), project(&second, row)]).collect();
    let deviation = (y.iter().map(|p| p[0] * p[0]).sum::<f64>() / n as f64).sqrt();
    let scale = if deviation > 0.0 { 1e-4 / deviation } else { 0.0 };
    // Equal points would stay together for ever: each is moved by less than the rest of the map can show.
    let apart = |i: usize| 1e-8 * (i as f64 / n as f64 - 0.5);
    y.iter_mut().enumerate().for_each(|(i, p)| *p = [p[0] * scale + apart(i), p[1] * scale - apart(i)]);
    y
}

/// The direction of largest spread, orthogonal to `other`, by power iteration; its largest element is positive.
fn principal(centred: &[f64], size: usize, other: Option<&[f64]>) -> Vec<f64> {
    let mut axis: Vec<f64> = (0..size).map(|k| 1.0 + (k * 7 % 11) as f64 / 11.0).collect();
    for _ in 0..200 {
        let mut next = vec![0.0; size];
        for row in centred.chunks_exact(size) {
            let along: f64 = row.iter().zip(&axis).map(|(a, b)| a * b).sum();
            next.iter_mut().zip(row).for_each(|(n, v)| *n += along * v);
        }
        if let Some(other) = other {
            let along: f64 = next.iter().zip(other).map(|(a, b)| a * b).sum();
            next.iter_mut().zip(other).for_each(|(n, o)| *n -= along * o);
        }
        let norm = next.iter().map(|v| v * v).sum::<f64>().sqrt();
        if norm <= f64::MIN_POSITIVE {
            return vec![0.0; size]; // no spread in any direction that is left
        }
        next.iter_mut().for_each(|v| *v /= norm);
        axis = next;
    }
    let largest = axis.iter().copied().fold(0.0, |m: f64, v| if v.abs() > m.abs() { v } else { m });
    if largest < 0.0 {
        axis.iter_mut().for_each(|v| *v = -*v);
    }
    axis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plane_of_largest_spread_is_found() {
        // Spread 10 along (3, 4, 0)/5, 1 along the third axis, none elsewhere; far from the origin.
        let points: Vec<f64> = (0..40)
            .flat_map(|i| {
                let (long, short) = (f64::from(i) - 19.5, if i % 2 == 0 { 1.0 } else { -1.0 });
                [100.0 + 0.6 * long, 0.8 * long - 7.0, 3.0 + short]
            })
            .collect();
        let plane = principal_plane(&points, 3, 40);
        let deviation = |d: usize| (plane.iter().map(|p| p[d] * p[d]).sum::<f64>() / 40.0).sqrt();
        assert!((deviation(0) - 1e-4).abs() < 1e-7);
        let spread = (40.0f64 * 40.0 - 1.0) / 12.0;
        assert!(
            (deviation(1) / deviation(0) - 1.0 / spread.sqrt()).abs() < 2e-2,
            "{}",
            deviation(1) / deviation(0)
        );
        let sorted =
            plane.windows(2).all(|p| (p[1][0] - p[0][0]).signum() == (plane[1][0] - plane[0][0]).signum());
        assert!(sorted, "the first component is the long axis");
    }

    #[test]
    fn points_without_spread_are_finite_and_apart() {
        let plane = principal_plane(&[1.0; 20], 2, 10);
        assert!(plane.iter().flatten().all(|v| v.is_finite()) && plane[0] != plane[1]);
    }
}
