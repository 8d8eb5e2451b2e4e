//! Images made of a few real ones by the thief's own clone.

use super::maker::{Maker, Stage};
use super::method::Method;
use crate::attacks::noise::transparent;
use crate::data::{ImageSet, Normalisation};
use crate::losses::cross_entropy;
use crate::nets::{Mode, Network};
use crate::random::{Purpose, Stream};
use crate::training::{Distillation, NetworkRef, Objective};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// Distance, in the largest change of a pixel on the scale from 0 to 1, that an image is moved at most.
const DISTANCE: f32 = 0.1;
/// Steps of a move, and the length of each.
const STEPS: usize = 8;
const STEP: f32 = 1.85 * DISTANCE / STEPS as f32;
/// Images that are moved together.
const BATCH: usize = 64;

/// Jacobian-based data augmentation with targets (Papernot et al., 2017; JBDA-TR: Juuti et al., EuroS&P 2019, with ModelGuard's
/// settings). It begins with a few images. In every round it trains a clone on what it has, moves every image three times by projected
/// gradient descent towards classes that its clone tells apart, with a new random class each step, and asks about the results. Each of
/// them is a query. Images are clipped where pixels are, from 0 to 255; public code clips normalised values, which weakens it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JbdaTr {
    /// τ.
    pub temperature: f64,
    /// α.
    pub alpha: f64,
}

impl Method for JbdaTr {
    fn name(&self) -> &'static str {
        "jbda-tr"
    }

    fn knows(&self) -> &'static str {
        "nothing of the defence, and makes images of its own"
    }

    fn settings(&self) -> Vec<(&'static str, f64)> {
        vec![("temperature", self.temperature)]
    }

    fn maker(&self) -> Option<&dyn Maker> {
        Some(self)
    }

    fn objective(&self, answers: NetworkRef) -> Objective {
        let Self { temperature, alpha } = *self;
        Objective::Distillation(Distillation { teacher: answers, temperature, alpha })
    }
}

impl Maker for JbdaTr {
    fn rounds(&self) -> usize {
        2
    }

    fn each(&self) -> usize {
        3
    }

    fn steps(&self) -> usize {
        STEPS
    }

    fn make(&self, images: &ImageSet, wanted: usize, at: Stage<'_>) -> ImageSet {
        let Stage { clone, normalisation, device, seed, round } = at;
        let clone = transparent(clone.clone());
        let all: Vec<usize> = (0..self.each()).flat_map(|_| 0..images.len()).take(wanted).collect();
        let mut made = Vec::with_capacity(all.len() * images.image_bytes());
        for (nth, chunk) in all.chunks(BATCH).enumerate() {
            let start = chunk.iter().flat_map(|&image| images.image(image));
            let start: Vec<f32> = start.map(|&byte| f32::from(byte) / 255.0).collect();
            let mut moved = start.clone();
            let shape = [chunk.len(), images.height, images.width, images.channels];
            for step in 0..STEPS {
                let class = |place: usize| {
                    let (step, place) = (round * STEPS + step, nth * BATCH + place);
                    let mut stream = Stream::new(seed, Purpose::Target, step as u64, place as u64);
                    stream.below(clone.classes() as u32) as i32
                };
                let targets: Vec<i32> = (0..chunk.len()).map(class).collect();
                let by = gradient(&clone, normalisation, &moved, shape, targets, device);
                for ((moved, start), by) in moved.iter_mut().zip(&start).zip(by) {
                    *moved = nudged(*moved, *start, by);
                }
            }
            made.extend(moved.iter().map(|value| (value * 255.0).round() as u8));
        }
        let ImageSet { height, width, channels, .. } = *images;
        ImageSet::new(height, width, channels, made, vec![0; all.len()])
    }
}

/// A pixel a step against its gradient: no farther than [`DISTANCE`] from where it began, and within 0 to 1.
fn nudged(pixel: f32, start: f32, gradient: f32) -> f32 {
    let direction = if gradient == 0.0 { 0.0 } else { gradient.signum() };
    (pixel - STEP * direction).clamp(start - DISTANCE, start + DISTANCE).clamp(0.0, 1.0)
}

/// The gradient of the clone's cross entropy with `targets` by the pixels `[images, height, width, channels]`, up to a positive
/// factor for each channel.
fn gradient(
    clone: &Network,
    normalisation: &Normalisation,
    pixels: &[f32],
    shape: [usize; 4],
    targets: Vec<i32>,
    device: &Device,
) -> Vec<f32> {
    let Normalisation { mean, std } = normalisation;
    let channels = shape[3];
    let normalised = pixels.iter().enumerate().map(|(i, v)| (v - mean[i % channels]) / std[i % channels]);
    let device = device.clone().autodiff();
    let seen = Tensor::<4>::from_data(TensorData::new(normalised.collect::<Vec<f32>>(), shape), &device);
    let seen = seen.require_grad();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [shape[0]]), &device);
    let loss = cross_entropy(clone.forward(seen.clone(), Mode::Eval), targets, 0.0);
    let gradient = seen.grad(&loss.backward()).expect("the images are tracked");
    gradient.into_data().convert::<f32>().try_into_vec().expect("the data was converted to f32")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::test_support::{CLASSES, normalisation, test_images, victim};

    const THIEF: JbdaTr = JbdaTr { temperature: 1.0, alpha: 0.9 };

    #[test]
    fn images_are_moved_within_their_bounds_and_depend_on_seed_and_round_alone() {
        let (clone, normalisation, device) = (victim(1), normalisation(), Device::flex());
        let images = test_images();
        let make = |wanted, seed, round| {
            let at = Stage { clone: &clone, normalisation: &normalisation, device: &device, seed, round };
            THIEF.make(&images, wanted, at)
        };
        let made = make(36, 5, 0);
        assert_eq!(made.len(), 36);
        for (i, moved) in made.images().enumerate() {
            let start = images.image(i % images.len());
            let far = moved.iter().zip(start).map(|(a, b)| a.abs_diff(*b)).max().expect("pixels");
            assert!((1..=26).contains(&far), "0.1 of 255 and half for rounding: {far}");
        }
        assert_ne!(made.image(0), made.image(12), "the same image, moved to other classes");
        assert_eq!(make(36, 5, 0).digest(), made.digest());
        assert_ne!(make(36, 6, 0).digest(), made.digest());
        assert_ne!(make(36, 5, 1).digest(), made.digest());
        assert_eq!(make(10, 5, 0).images().collect::<Vec<_>>(), made.images().take(10).collect::<Vec<_>>());
    }

    #[test]
    fn a_step_against_the_gradient_leads_towards_the_class() {
        let (clone, normalisation, device) = (transparent(victim(2)), normalisation(), Device::flex());
        let images = test_images();
        let start: Vec<f32> = images.images().flatten().map(|&byte| f32::from(byte) / 255.0).collect();
        let shape = [images.len(), 8, 8, 1];
        let targets: Vec<i32> = (0..images.len()).map(|i| ((i + 1) % CLASSES) as i32).collect();
        let loss = |pixels: &[f32]| {
            let normalised: Vec<f32> =
                pixels.iter().map(|v| (v - normalisation.mean[0]) / normalisation.std[0]).collect();
            let images =
                Tensor::<4>::from_data(TensorData::new(normalised, shape), &device.clone().autodiff());
            let targets = Tensor::<1, Int>::from_data(
                TensorData::new(targets.clone(), [targets.len()]),
                &device.clone().autodiff(),
            );
            cross_entropy(clone.forward(images, Mode::Eval), targets, 0.0).into_scalar::<f32>()
        };
        let mut moved = start.clone();
        for _ in 0..STEPS {
            let by = gradient(&clone, &normalisation, &moved, shape, targets.clone(), &device);
            for ((moved, start), by) in moved.iter_mut().zip(&start).zip(by) {
                *moved = nudged(*moved, *start, by);
            }
        }
        assert!(loss(&moved) < loss(&start), "{} {}", loss(&moved), loss(&start));
        assert_eq!(nudged(0.99, 0.98, -1.0), 1.0, "no lighter than white");
        assert_eq!(nudged(0.59, 0.5, -1.0), 0.6, "no farther than 0.1");
        assert_eq!(nudged(0.5, 0.5, 0.0), 0.5);
    }
}
