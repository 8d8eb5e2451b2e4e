//! Accuracy against the number of queries.

/// How many queries a thief needs to reach `accuracy`, by straight lines over the logarithm of the queries; none if it
/// does not get there. `curve` holds (queries, accuracy) with rising numbers of queries above 0.
pub fn queries_to_reach(curve: &[(u64, f64)], accuracy: f64) -> Option<f64> {
    let (first, reached) = curve.first()?;
    if *reached >= accuracy {
        return Some(*first as f64);
    }
    curve.windows(2).find(|pair| pair[1].1 >= accuracy).map(|pair| {
        let [(from, low), (to, high)] = [pair[0], pair[1]];
        let share = (accuracy - low) / (high - low);
        ((1.0 - share) * (from as f64).ln() + share * (to as f64).ln()).exp()
    })
}

/// The mean accuracy over the logarithm of the queries between the first and the last point, by straight lines; none of
/// fewer than two points.
pub fn area(curve: &[(u64, f64)]) -> Option<f64> {
    let span = (curve.last()?.0 as f64 / curve.first()?.0 as f64).ln();
    let strips = curve
        .windows(2)
        .map(|pair| (pair[1].0 as f64 / pair[0].0 as f64).ln() * 0.5 * (pair[0].1 + pair[1].1));
    (curve.len() > 1 && span > 0.0).then(|| strips.sum::<f64>() / span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_read_over_the_logarithm_of_the_queries() {
        let curve = [(100, 0.5), (10_000, 0.75), (1_000_000, 0.75)];
        assert_eq!(queries_to_reach(&curve, 0.25), Some(100.0));
        assert!((queries_to_reach(&curve, 0.625).expect("reached") - 1000.0).abs() < 1e-6);
        assert_eq!(queries_to_reach(&curve, 0.8), None);
        assert!((area(&curve).expect("points") - 0.6875).abs() < 1e-12);
        assert_eq!(area(&curve[..1]), None);
        assert_eq!(queries_to_reach(&[], 0.5), None);
    }
}
