//! Calibration of confidences: likelihood, Brier score, calibration error, rejection.

use super::accuracy::predicted;
use super::{CLEAN_FLOOR, mean, paired};

/// Mean `−ln max(p_label, 1e-12)`. A served row that excludes the label costs 27.6, not infinity.
///
/// # Panics
/// If there are not as many labels as rows, or a label is no class.
pub fn negative_log_likelihood(rows: &[impl AsRef<[f64]>], labels: &[usize]) -> f64 {
    paired(rows.len(), labels.len());
    mean(rows.iter().zip(labels).map(|(row, label)| -row.as_ref()[*label].max(CLEAN_FLOOR).ln()))
}

/// Mean `Σ (p_c − [c = label])²` (Brier, 1950), summed over the classes: from 0 to 2.
///
/// # Panics
/// If there are not as many labels as rows.
pub fn brier(rows: &[impl AsRef<[f64]>], labels: &[usize]) -> f64 {
    paired(rows.len(), labels.len());
    mean(rows.iter().zip(labels).map(|(row, label)| {
        let term = |(c, p): (usize, &f64)| (p - f64::from(u8::from(c == *label))).powi(2);
        row.as_ref().iter().enumerate().map(term).sum()
    }))
}

/// The largest probability of each row.
pub fn confidences(rows: &[impl AsRef<[f64]>]) -> Vec<f64> {
    rows.iter().map(|row| row.as_ref().iter().copied().fold(0.0, f64::max)).collect()
}

/// The expected calibration error of the predicted class (Guo et al., ICML 2017): with `bins` equal bins (a, b] of the
/// confidence, the mean over the images of `|accuracy − confidence|` of their bin. 15 bins are usual.
///
/// # Panics
/// If there are not as many labels as rows, or no bins.
pub fn calibration_error(rows: &[impl AsRef<[f64]>], labels: &[usize], bins: usize) -> f64 {
    paired(rows.len(), labels.len());
    assert!(bins > 0, "at least one bin");
    // Of each bin: right answers less confidence.
    let mut gaps = vec![0.0; bins];
    for (row, label) in rows.iter().zip(labels) {
        let row = row.as_ref();
        let top = predicted(row);
        let confidence = row[top];
        gaps[bin(confidence, bins)] += f64::from(u8::from(top == *label)) - confidence;
    }
    gaps.iter().map(|gap| gap.abs()).sum::<f64>() / rows.len().max(1) as f64
}

/// The bin (i/n, (i+1)/n] that holds `confidence`, whatever rounding does to its product with n.
fn bin(confidence: f64, bins: usize) -> usize {
    let n = bins as f64;
    let edge = |i: usize| i as f64 / n;
    let mut i = ((confidence * n).ceil() as usize).clamp(1, bins) - 1;
    while i > 0 && confidence <= edge(i) {
        i -= 1;
    }
    while i + 1 < bins && confidence > edge(i + 1) {
        i += 1;
    }
    i
}

/// The area under the ROC curve of `inside` against `outside` scores: the probability that a random inner score is larger
/// than a random outer one, ties counted half. With confidences: how well the victim rejects what is not of its domain.
/// 0.5 where either is empty.
pub fn auroc(inside: &[f64], outside: &[f64]) -> f64 {
    if inside.is_empty() || outside.is_empty() {
        return 0.5;
    }
    let mut sorted = outside.to_vec();
    sorted.sort_by(f64::total_cmp);
    let wins: f64 = inside
        .iter()
        .map(|score| {
            let below = sorted.partition_point(|other| other < score);
            let up_to = sorted.partition_point(|other| other <= score);
            below as f64 + 0.5 * (up_to - below) as f64
        })
        .sum();
    wins / (inside.len() as f64 * outside.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_belongs_to_the_bin_below_it() {
        for bins in [1, 7, 10, 15] {
            for i in 1..=bins {
                let edge = i as f64 / bins as f64;
                assert_eq!(bin(edge, bins), i - 1);
                assert_eq!(bin(edge.next_up(), bins), i.min(bins - 1));
            }
            assert_eq!(bin(0.0, bins), 0);
        }
    }

    #[test]
    fn auroc_counts_pairs() {
        assert_eq!(auroc(&[0.9, 0.8], &[0.1, 0.2]), 1.0);
        assert_eq!(auroc(&[0.1], &[0.9]), 0.0);
        assert_eq!(auroc(&[0.5, 0.5], &[0.5]), 0.5);
        assert_eq!(auroc(&[0.5, 0.7], &[0.5, 0.6, 0.8]), (0.5 + 2.0) / 6.0);
        assert_eq!(auroc(&[], &[1.0]), 0.5);
    }

    #[test]
    fn a_calibrated_victim_has_no_error_and_excluded_labels_cost_a_finite_amount() {
        let rows = [[0.75, 0.25], [0.75, 0.25], [0.75, 0.25], [0.75, 0.25]];
        assert!(calibration_error(&rows, &[0, 0, 0, 1], 15) < 1e-12);
        assert!((calibration_error(&rows, &[1, 1, 1, 1], 15) - 0.75).abs() < 1e-12);
        assert!((negative_log_likelihood(&[[1.0, 0.0]], &[1]) - 27.631).abs() < 1e-3);
        assert_eq!(brier(&[[1.0, 0.0]], &[1]), 2.0);
    }
}
