//! Shared by the attacks: random numbers for a batch, networks that pass gradients through, images from pixels.

use crate::data::{ImageSet, Normalisation};
use crate::nets::Network;
use crate::random::{Purpose, Stream};
use burn::module::Module;
use burn::tensor::Tensor;
use rayon::prelude::*;

/// Standard normal numbers `[images, each]` for `purpose`: those of an image depend on (seed, step, image) alone.
pub(super) fn normal(purpose: Purpose, seed: u64, step: u64, images: usize, each: usize) -> Vec<f32> {
    let mut noise = vec![0.0; images * each];
    noise.par_chunks_exact_mut(each).enumerate().for_each(|(image, noise)| {
        let mut stream = Stream::new(seed, purpose, step, image as u64);
        noise.iter_mut().for_each(|value| *value = stream.normal());
    });
    noise
}

/// A network of plain tensors as one that passes gradients on to its input and takes none itself.
pub(super) fn transparent(network: Network) -> Network {
    network.train().no_grad()
}

/// 8-bit images of normalised pixels `[images, side, side, channels]`, row-major; values outside 0..255 are cut.
pub(super) fn images(
    pixels: &[f32],
    normalisation: &Normalisation,
    side: usize,
    labels: Vec<u16>,
) -> ImageSet {
    let channels = normalisation.mean.len();
    let byte = |(i, &value): (usize, &f32)| {
        let c = i % channels;
        // A float as u8 saturates.
        ((value * normalisation.std[c] + normalisation.mean[c]) * 255.0).round() as u8
    };
    ImageSet::new(side, side, channels, pixels.iter().enumerate().map(byte).collect(), labels)
}

/// A scalar's value.
pub(super) fn value(scalar: Tensor<1>) -> f64 {
    f64::from(scalar.into_scalar::<f32>())
}
