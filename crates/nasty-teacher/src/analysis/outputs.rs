//! Features and logits of a set of images.

use crate::data::{Augmentation, ImageSet, Normalisation, held_out, render};
use crate::nets::{Mode, Network};
use crate::training::host;
use burn::tensor::{Device, Tensor, TensorData};

/// Images a forward pass.
const BATCH: usize = 128;

/// What a network says about images, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// Numbers a feature vector has.
    pub feature_size: usize,
    /// What the last linear layer sees, `[images, feature_size]`.
    pub features: Vec<f32>,
    /// Unnormalised log-probabilities, `[images, classes]`.
    pub logits: Vec<f32>,
}

/// What `network`, without autodiff, says about unchanged `images`, in evaluation mode.
pub fn all_outputs(
    network: &Network,
    normalisation: &Normalisation,
    images: &ImageSet,
    device: &Device,
) -> Outputs {
    let none = Augmentation::none();
    let items: Vec<_> = (0..images.len()).map(|i| (i, none.identity())).collect();
    let mut outputs = Outputs { feature_size: 0, features: Vec::new(), logits: Vec::new() };
    for chunk in items.chunks(BATCH) {
        let pixels = render(images, normalisation, &none, chunk);
        let shape = [chunk.len(), images.height, images.width, images.channels];
        let output = network.outputs(Tensor::from_data(TensorData::new(pixels, shape), device), Mode::Eval);
        outputs.feature_size = output.features.dims()[1];
        outputs.features.extend(host(output.features));
        outputs.logits.extend(host(output.logits));
    }
    outputs
}

/// The indices, in ascending order, of `count` images drawn by `seed`, every class in its share.
pub fn choose(labels: &[u16], count: usize, seed: u64) -> Vec<usize> {
    held_out(labels, count, seed).1
}
