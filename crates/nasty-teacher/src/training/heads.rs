//! Heads beside the network's own that an objective has trained with it. They live as long as the run does.

use super::context::{record, restore};
use super::error::TrainError;
use super::objective::HeadKind;
use super::optimiser::Optimiser;
use super::state_file::{Parts, Saved};
use crate::data::{Augmentation, ImageSet, Normalisation, render};
use crate::nets::{Exits, NetError, Network, Turns};
use crate::random::{Purpose, Stream};
use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Gradients};

/// The group of a saved state with the heads' tensors, and the record with their optimiser's.
const GROUP: &str = "heads";
const RECORD: &str = "heads-optimiser";

/// Heads in training.
pub(super) struct Heads {
    pub(super) layers: Layers,
    optimiser: ModuleOptimizer,
}

/// The heads of an objective.
#[derive(Module, Debug)]
pub(super) enum Layers {
    Exits(Exits),
    Turns(Turns),
}

impl Heads {
    /// Heads of `kind` for `network`, with initial weights that `seed` alone decides.
    pub(super) fn new(
        kind: HeadKind,
        network: &Network,
        seed: u64,
        optimiser: &Optimiser,
        device: &Device,
    ) -> Result<Self, NetError> {
        let layers = match kind {
            HeadKind::Exits => Layers::Exits(network.exits(seed, device)?),
            HeadKind::Turns => Layers::Turns(network.turns(seed, device)),
        };
        Ok(Self { layers, optimiser: optimiser.build() })
    }

    /// The heads as they were saved.
    pub(super) fn resume<P>(self, saved: &Saved<P>) -> Result<Self, TrainError> {
        let optimiser = restore(self.optimiser, saved, RECORD)?;
        let layers = match self.layers {
            Layers::Exits(exits) => {
                let state = saved.group(GROUP, &exits.state_dict())?;
                Layers::Exits(exits.load_state_dict(&state)?)
            }
            Layers::Turns(turns) => {
                let state = saved.group(GROUP, &turns.state_dict())?;
                Layers::Turns(turns.load_state_dict(&state)?)
            }
        };
        Ok(Self { layers, optimiser })
    }

    /// Adds what is saved of them to that of a run.
    pub(super) fn add_to<P>(&self, parts: &mut Parts<P>) {
        let state = match &self.layers {
            Layers::Exits(exits) => exits.state_dict(),
            Layers::Turns(turns) => turns.state_dict(),
        };
        parts.groups.push((GROUP, state));
        parts.records.push((RECORD, record(&self.optimiser)));
    }

    /// The heads after a step, with their gradients taken from `gradients`.
    pub(super) fn step(self, rate: f64, gradients: &mut Gradients) -> Self {
        let Self { layers, mut optimiser } = self;
        let gradients = GradientsParams::from_module(gradients, &layers);
        Self { layers: optimiser.step(rate, layers, gradients), optimiser }
    }
}

/// `count` images of `pool`, drawn at random, in random views and turned by 0 to 3 quarters: normalised pixels
/// `[count, side, side, channels]` and the quarters. They depend on `seed`, `step` and the place in the batch alone.
pub(super) fn turned(
    pool: &ImageSet,
    normalisation: &Normalisation,
    augmentation: &Augmentation,
    (seed, step): (u64, u64),
    count: usize,
) -> (Vec<f32>, Vec<i32>) {
    let draw = |place: usize| {
        let mut stream = Stream::new(seed, Purpose::Turn, step, place as u64);
        let mut below = |n: usize| if n == 1 { 0 } else { stream.below(n as u32) as usize };
        ((below(pool.len()), below(augmentation.count())), below(4))
    };
    let (items, quarters): (Vec<_>, Vec<_>) = (0..count).map(draw).unzip();
    let mut pixels = render(pool, normalisation, augmentation, &items);
    let images = pixels.chunks_exact_mut(pool.image_bytes());
    for (image, &quarters) in images.zip(&quarters) {
        turn(image, pool.height, pool.channels, quarters);
    }
    (pixels, quarters.into_iter().map(|quarters| quarters as i32).collect())
}

/// Turns an image `[side, side, channels]` counterclockwise.
fn turn(image: &mut [f32], side: usize, channels: usize, quarters: usize) {
    for _ in 0..quarters {
        let before = image.to_vec();
        for (row, pixels) in image.chunks_exact_mut(side * channels).enumerate() {
            for (column, pixel) in pixels.chunks_exact_mut(channels).enumerate() {
                pixel.copy_from_slice(&before[(column * side + side - 1 - row) * channels..][..channels]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_is_counterclockwise_and_four_are_none() {
        let image: Vec<f32> = [0, 1, 2, 3].into_iter().flat_map(|v| [v as f32, -(v as f32)]).collect();
        let turned = |quarters| {
            let mut image = image.clone();
            turn(&mut image, 2, 2, quarters);
            image.into_iter().step_by(2).collect::<Vec<_>>()
        };
        // 0 1    1 3    3 2
        // 2 3    0 2    1 0
        assert_eq!(turned(1), [1.0, 3.0, 0.0, 2.0]);
        assert_eq!(turned(2), [3.0, 2.0, 1.0, 0.0]);
        assert_eq!(turned(4), [0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn turned_images_depend_on_the_step_and_the_place_alone() {
        let pool = ImageSet::new(2, 2, 1, (0..40).collect(), vec![0; 10]);
        let levels = Normalisation { mean: vec![0.0], std: vec![1.0 / 255.0] };
        let of = |step, count| turned(&pool, &levels, &Augmentation::none(), (7, step), count);
        let (pixels, quarters) = of(3, 40);
        assert_eq!(of(3, 5), (pixels[..20].to_vec(), quarters[..5].to_vec()));
        assert_ne!(of(4, 40).0, pixels);
        for (image, &quarters) in pixels.chunks_exact(4).zip(&quarters) {
            let mut back = image.to_vec();
            turn(&mut back, 2, 1, (4 - quarters as usize) % 4);
            let first = back[0].round() as usize;
            assert!(
                first.is_multiple_of(4)
                    && back.iter().enumerate().all(|(i, v)| v.round() as usize == first + i),
                "{back:?}"
            );
        }
        assert!((0..4).all(|quarter| quarters.contains(&quarter)));
    }
}
