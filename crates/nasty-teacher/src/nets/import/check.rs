//! Compares an imported network with known answers.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;

use super::ImportError;
use crate::data::npz::arrays;
use crate::nets::{Input, Mode, Network};

/// Images a forward pass.
const BATCH: usize = 64;
/// Logits that differ by more than this part of the largest are another function's. Rounding makes 5e-5 of it.
const TOLERANCE: f64 = 1e-3;

/// How a network's answers agree with known ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Images.
    pub images: usize,
    /// How they were given to the network.
    pub fed: &'static str,
    /// Against known logits.
    pub logits: Option<LogitCheck>,
    /// Against known classes: right ones.
    pub correct: Option<usize>,
    /// Whether the answers are the known ones; for classes, whether they are clearly better than guesses.
    pub confirmed: bool,
}

/// How logits agree.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LogitCheck {
    /// The largest difference.
    pub largest_difference: f64,
    /// The largest known logit, without its sign.
    pub largest_logit: f64,
    /// Images whose largest logit is at the same class.
    pub same_class: usize,
}

/// Compares `network`'s answers with those in the archive `path`, whose arrays are `images` `[N, H, W, C]` or
/// `[N, C, H, W]` (bytes, or numbers: in 0..1 as pixels, else as already normalised) and `logits` `[N, classes]` or
/// `labels` `[N]`.
///
/// # Errors
/// [`ImportError::NoComparison`] for an archive that is not so.
pub fn check(
    path: &Path,
    network: &Network,
    mean: &[f32],
    std: &[f32],
    device: &Device,
) -> Result<Check, ImportError> {
    let fail = |problem: String| ImportError::NoComparison { path: path.to_owned(), problem };
    let [images, logits, labels] = arrays(path, ["images", "logits", "labels"]).map_err(fail)?;
    let images = images.ok_or_else(|| fail("it has no array `images`".into()))?;
    if logits.is_none() && labels.is_none() {
        return Err(fail("it has neither an array `logits` nor an array `labels`".into()));
    }
    let Input { channels, side } = network.input();
    let planes = match images.shape[..] {
        [_, h, w, c] if (h, w, c) == (side, side, channels) => false,
        [_, c, h, w] if (h, w, c) == (side, side, channels) => true,
        _ => {
            return Err(fail(format!(
                "`images` has the shape {:?}; expected are [N, {side}, {side}, {channels}] or [N, {channels}, {side}, {side}]",
                images.shape
            )));
        }
    };
    let (count, is_float) = (images.shape[0], images.is_float());
    let values = images.floats();
    let in_unit = values.iter().all(|v| (0.0..=1.0).contains(v));
    let (fed, scale, normalise) = match (is_float, in_unit) {
        (false, _) => ("bytes, normalised", 255.0, true),
        (true, true) => ("pixels in 0..1, normalised", 1.0, true),
        (true, false) => ("numbers as they are, being normalised already", 1.0, false),
    };
    let pixel = |i: usize| {
        let c = i % channels;
        let at = if planes {
            let (image, place) = (i / (side * side * channels), i / channels % (side * side));
            (image * channels + c) * side * side + place
        } else {
            i
        };
        let value = (values[at] / scale) as f32;
        if normalise { (value - mean[c]) / std[c] } else { value }
    };
    let classes = network.classes();
    let mut answers = Vec::with_capacity(count * classes);
    for first in (0..count).step_by(BATCH) {
        let images = BATCH.min(count - first);
        let size = side * side * channels;
        let pixels: Vec<f32> = (first * size..(first + images) * size).map(pixel).collect();
        let batch = Tensor::<4>::from_data(TensorData::new(pixels, [images, side, side, channels]), device);
        let logits = network.forward(batch, Mode::Eval).into_data().convert::<f32>();
        answers
            .extend(logits.try_to_vec::<f32>().map_err(|e| fail(format!("the network's answers: {e:?}")))?);
    }
    let best = |row: &[f64]| (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
    let answers: Vec<f64> = answers.into_iter().map(f64::from).collect();
    let logits = logits.map(|known| {
        if known.shape != [count, classes] {
            return Err(fail(format!(
                "`logits` has the shape {:?}; expected is [{count}, {classes}]",
                known.shape
            )));
        }
        let known = known.floats();
        let rows = known.chunks_exact(classes).zip(answers.chunks_exact(classes));
        Ok(LogitCheck {
            largest_difference: known.iter().zip(&answers).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max),
            largest_logit: known.iter().map(|v| v.abs()).fold(0.0, f64::max),
            same_class: rows.filter(|(a, b)| best(a) == best(b)).count(),
        })
    });
    let logits = logits.transpose()?;
    let correct = labels.map(|known| match known.integers() {
        Some(known) if known.len() == count => Ok(known
            .iter()
            .zip(answers.chunks_exact(classes))
            .filter(|(k, row)| **k == best(row) as i64)
            .count()),
        _ => Err(fail(format!("`labels` is no list of {count} integers"))),
    });
    let correct = correct.transpose()?;
    let confirmed = logits.is_none_or(|l| l.largest_difference <= TOLERANCE * l.largest_logit.max(1.0))
        && correct.is_none_or(|correct| logits.is_some() || correct > by_chance(count, classes));
    Ok(Check { images: count, fed, logits, correct, confirmed })
}

/// Right answers that guessing hardly ever exceeds: its mean and three standard deviations.
fn by_chance(count: usize, classes: usize) -> usize {
    let (n, p) = (count as f64, 1.0 / classes as f64);
    (n * p + 3.0 * (n * p * (1.0 - p)).sqrt()) as usize
}

impl Check {
    /// The figures, for a person.
    pub fn told(&self) -> String {
        let mut parts = Vec::new();
        if let Some(l) = self.logits {
            parts.push(format!(
                "logits differ by at most {:.2e} (the largest is {:.3}), the largest one at the same class for {} of {} images",
                l.largest_difference, l.largest_logit, l.same_class, self.images
            ));
        }
        if let Some(correct) = self.correct {
            parts.push(format!("{correct} of {} images right", self.images));
        }
        format!("{} ({})", parts.join("; "), self.fed)
    }
}
