//! What a victim's answers show before any clone is trained.

use super::report::{History, Quality, Repeats, Revealed, UserCost};
use crate::lab::AnswerLog;
use crate::metrics::{brier, calibration_error, negative_log_likelihood};
use crate::victim::{Scale, argmax, log_probabilities};

/// Images of the probes.
pub(super) const IMAGES: usize = 50;
/// Times that each is asked in a row.
pub(super) const TIMES: u32 = 5;

/// Decimals beyond which numbers do not count as rounded.
const MOST_DECIMALS: u32 = 6;
/// What f32 leaves of a number with few decimals.
const ROUNDING: f64 = 2e-7;

/// The probe's answers to the same images asked [`TIMES`] times in a row; none if some are missing.
pub(super) fn repeats(log: &AnswerLog, images: &[[u8; 32]]) -> Option<Repeats> {
    let (mut different, mut largest) = (0, 0.0f64);
    for image in images {
        let rows: Option<Vec<&[f32]>> = (0..TIMES).map(|number| log.row(&(*image, number))).collect();
        let rows = rows?;
        let distances = rows.iter().map(|row| l1(log.scale(), rows[0], row));
        largest = distances.fold(largest, f64::max);
        different += usize::from(rows.iter().any(|row| *row != rows[0]));
    }
    Some(Repeats { images: images.len(), times: TIMES as usize, different, largest })
}

/// The probe's answers to the same images asked again after other queries; none if some are missing. Images whose answers
/// already differed in a row are random, not dependent on history: they do not count.
pub(super) fn history(log: &AnswerLog, images: &[[u8; 32]]) -> Option<History> {
    let mut changed = 0;
    for image in images {
        let rows: Option<Vec<&[f32]>> = (0..=TIMES).map(|number| log.row(&(*image, number))).collect();
        let rows = rows?;
        let steady = rows[..TIMES as usize].iter().all(|row| *row == rows[0]);
        changed += usize::from(steady && rows[TIMES as usize] != rows[0]);
    }
    let between = log.between(&(*images.last()?, TIMES - 1), &(*images.first()?, TIMES))?;
    Some(History { images: images.len(), between, changed, by_key: None })
}

/// What `rows` `[images, classes]` look like.
pub(super) fn revealed(rows: &[f32], classes: usize) -> Revealed {
    let images = rows.len() / classes.max(1);
    let all = || rows.chunks_exact(classes);
    let sum = |row: &[f32]| row.iter().map(|v| f64::from(*v)).sum::<f64>();
    let rounded = |decimals: u32| {
        let scale = 10f64.powi(decimals as i32);
        rows.iter().all(|v| {
            let v = f64::from(*v);
            ((v * scale).round() / scale - v).abs() <= ROUNDING * v.abs().max(1.0)
        })
    };
    Revealed {
        images,
        probabilities: rows.iter().all(|v| (0.0..=1.0 + 1e-4).contains(v)),
        sum_error: all().map(|row| (sum(row) - 1.0).abs()).fold(0.0, f64::max),
        nonzero: all().map(|row| row.iter().filter(|v| **v != 0.0).count()).max().unwrap_or(0),
        decimals: (0..=MOST_DECIMALS).find(|&decimals| rounded(decimals)),
    }
}

/// Whether each row's largest number is at its label.
pub(super) fn right(rows: &[f32], classes: usize, labels: &[u16]) -> Vec<bool> {
    rows.chunks_exact(classes).zip(labels).map(|(row, label)| argmax(row) == usize::from(*label)).collect()
}

/// What honest users are served: rows `[images, classes]` with what their numbers are, and the rows without defences where they
/// are known; `milliseconds` is what an answer takes.
pub fn user_cost(
    served: (&[f32], Scale),
    clean: Option<(&[f32], Scale)>,
    classes: usize,
    labels: &[u16],
    milliseconds: Option<f64>,
) -> UserCost {
    let rows = |(rows, scale): (&[f32], Scale)| -> Vec<Vec<f64>> {
        rows.chunks_exact(classes).map(|row| probabilities(row, scale)).collect()
    };
    let labels: Vec<usize> = labels.iter().map(|&label| usize::from(label)).collect();
    let quality = |rows: &[Vec<f64>]| Quality {
        accuracy: crate::metrics::accuracy(rows, &labels),
        nll: negative_log_likelihood(rows, &labels),
        brier: brier(rows, &labels),
        ece: calibration_error(rows, &labels, 15),
    };
    let served = rows(served);
    let clean = clean.map(rows);
    let distances: Option<Vec<f64>> = clean.as_ref().map(|clean| {
        let l1 = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum();
        clean.iter().zip(&served).map(l1).collect()
    });
    UserCost {
        served: quality(&served),
        clean: clean.as_deref().map(quality),
        l1: distances.as_ref().map(|d| d.iter().sum::<f64>() / d.len().max(1) as f64),
        l1_max: distances.map(|d| d.into_iter().fold(0.0, f64::max)),
        top1_kept: clean.as_ref().map(|clean| crate::metrics::agreement(clean, &served)),
        milliseconds,
    }
}

/// A row as probabilities that sum to 1; zeros stay zeros. A row of zeros says nothing: all classes are as likely.
fn probabilities(row: &[f32], scale: Scale) -> Vec<f64> {
    match scale {
        Scale::Logits => log_probabilities(row, 1.0).into_iter().map(f64::exp).collect(),
        Scale::Probabilities => {
            let sum: f64 = row.iter().map(|v| f64::from(*v)).sum();
            let even = 1.0 / row.len() as f64;
            row.iter().map(|v| if sum > 0.0 { f64::from(*v) / sum } else { even }).collect()
        }
    }
}

fn l1(scale: Scale, a: &[f32], b: &[f32]) -> f64 {
    let (a, b) = (probabilities(a, scale), probabilities(b, scale));
    a.iter().zip(&b).map(|(a, b)| (a - b).abs()).sum()
}
