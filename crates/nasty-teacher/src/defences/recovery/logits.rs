//! Logits from probabilities.

use crate::defences::Row;

/// `ln max(p, floor)` less its mean over the classes, `[classes]`: logits up to a shift. Zeros have no logarithm, so a floor
/// must be chosen and said; DFME's extraction breaks without one.
pub fn recovered_logits(row: &Row, floor: f64) -> Vec<f64> {
    let logs: Vec<f64> = row.probabilities().iter().map(|p| p.max(floor).ln()).collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    logs.iter().map(|l| l - mean).collect()
}
