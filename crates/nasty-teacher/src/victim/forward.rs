//! A network's answers to views of images.

use crate::data::{Augmentation, ImageSet, Normalisation, render};
use crate::nets::{Mode, Network};
use burn::tensor::{Device, Tensor, TensorData};

/// Logits `[items, classes]`, row-major, of (image, view) pairs in evaluation mode.
pub fn forward(
    network: &Network,
    normalisation: &Normalisation,
    images: &ImageSet,
    augmentation: &Augmentation,
    device: &Device,
    items: &[(usize, usize)],
) -> Vec<f32> {
    let pixels = render(images, normalisation, augmentation, items);
    let shape = [items.len(), images.height, images.width, images.channels];
    let logits = network.forward(Tensor::from_data(TensorData::new(pixels, shape), device), Mode::Eval);
    host(logits)
}

/// A tensor's values on the host, row-major.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_to_vec().expect("converted to f32 just before")
}
