//! Student's t distribution for integer degrees of freedom, by its finite series (Abramowitz & Stegun, 26.7.3 and
//! 26.7.4).

/// `P(|T| ≤ t)` with `df` degrees of freedom, at least 1; absolute error about 1e-15.
pub(super) fn central(t: f64, df: usize) -> f64 {
    let angle = (t.abs() / (df as f64).sqrt()).atan();
    let (sin, cos) = angle.sin_cos();
    // Terms cos^k with the products of (k − 1)/k: from cos for odd df, from 1 for even df.
    let odd = df % 2 == 1;
    let (mut term, mut k) = if odd { (cos, 1) } else { (1.0, 0) };
    let mut sum = 0.0;
    while k + 2 <= df {
        sum += term;
        k += 2;
        term *= cos * cos * (k - 1) as f64 / k as f64;
    }
    if odd { std::f64::consts::FRAC_2_PI * (angle + sin * sum) } else { sin * sum }
}

/// The t with `P(|T| ≤ t) = level`, for a level in (0, 1).
pub(super) fn quantile(level: f64, df: usize) -> f64 {
    let mut high = 1.0;
    while central(high, df) < level && high < 1e12 {
        high *= 2.0;
    }
    let mut low = 0.0;
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if central(middle, df) < level { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        let table = [
            (1, 12.706_204_736_174_7),
            (2, 4.302_652_729_749_46),
            (3, 3.182_446_305_283_71),
            (4, 2.776_445_105_197_79),
            (9, 2.262_157_162_798_2),
            (30, 2.042_272_456_301_24),
            (1000, 1.962_339_080_826_41),
        ];
        for (df, t) in table {
            assert!((quantile(0.95, df) - t).abs() < 1e-9 * t, "{df}: {}", quantile(0.95, df));
            assert!((central(t, df) - 0.95).abs() < 1e-12);
        }
    }
}
