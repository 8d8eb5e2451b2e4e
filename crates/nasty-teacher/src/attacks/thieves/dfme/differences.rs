//! Pixels out of what a generator makes, and the gradient of a function of pixels, estimated from its values.
//!
//! A generator's numbers x in front of the tanh become pixels of 8 bits: `round((tanh x + 1)/2 · 255)`.

use crate::attacks::noise::normal;
use crate::random::Purpose;

/// Levels from the middle of the scale to its end.
const HALF: f32 = 127.5;

/// Images `[images, height, width, channels]` of 8 bits of the numbers `made` in front of the tanh.
pub(super) fn pixels(made: &[f32]) -> Vec<u8> {
    made.iter().map(|x| ((x.tanh() + 1.0) * HALF).round() as u8).collect()
}

/// Directions `[images, each]` of length `√each`, even over the sphere: those of an image depend on (seed, step, image) alone.
pub(super) fn directions(seed: u64, step: u64, images: usize, each: usize) -> Vec<f32> {
    let mut directions = normal(Purpose::Direction, seed, step, images, each);
    for direction in directions.chunks_exact_mut(each) {
        let length = direction.iter().map(|u| f64::from(*u).powi(2)).sum::<f64>().sqrt();
        let scale = ((each as f64).sqrt() / length) as f32;
        direction.iter_mut().for_each(|u| *u *= scale);
    }
    directions
}

/// `made`, moved along `directions` by so much that a grey pixel moves by `levels` levels, root mean square.
pub(super) fn moved(made: &[f32], directions: &[f32], levels: f64) -> Vec<f32> {
    let step = levels as f32 / HALF;
    made.iter().zip(directions).map(|(x, u)| x + step * u).collect()
}

/// An estimate `[images, each]` of the gradient, by the numbers in front of the tanh, of a function of each image's pixels, whose value
/// rises by `rises` `[images]` when they are [`moved`] along `directions` by `levels`: the published `each · rise/ε · u` with u of
/// length 1 and ε = `levels/127.5 · √each`.
///
/// Pixels are rounded, so an image moves along `directions` only on average. That is enough: where a pixel stood between two levels is
/// as good as random, so what rounding adds is, too, and leaves the mean of the estimates as it is.
pub(super) fn gradient(directions: &[f32], levels: f64, rises: &[f64]) -> Vec<f32> {
    let each = directions.len() / rises.len().max(1);
    let step = levels / f64::from(HALF);
    let images = directions.chunks_exact(each.max(1)).zip(rises);
    images.flat_map(|(direction, rise)| direction.iter().map(move |u| (rise / step) as f32 * u)).collect()
}
