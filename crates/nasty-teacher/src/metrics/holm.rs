//! Holm's correction for many comparisons.

/// p-values adjusted by Holm's step-down method (1979), in the order given: the i-th smallest of m is multiplied by
/// m − i + 1, and none is smaller than one before it.
///
/// ```
/// assert_eq!(nasty_teacher::metrics::holm(&[0.25, 0.03125]), [0.25, 0.0625]);
/// ```
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0.0f64;
    for (rank, i) in order.into_iter().enumerate() {
        largest = largest.max(((p.len() - rank) as f64 * p[i]).min(1.0));
        adjusted[i] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::holm;

    #[test]
    fn adjusted_values_are_ordered_and_at_most_one() {
        assert_eq!(holm(&[]), [0.0; 0]);
        assert_eq!(holm(&[0.5, 0.6]), [1.0, 1.0]);
        assert_eq!(holm(&[0.25, 0.03125]), [0.25, 0.0625]);
    }
}
