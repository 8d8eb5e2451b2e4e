//! A frozen network: asked for logits, never trained.

use super::logits::LogitTable;
use crate::data::{Augmentation, ImageSet, Normalisation, render};
use crate::nets::{Mode, Network};
use burn::tensor::{Device, Tensor, TensorData};
use std::sync::Arc;

/// Images a forward pass, always: the last pass is filled up. How products are summed may depend on a batch's size; of
/// one size only, an image's logits do not depend on which others were asked for with it.
const CHUNK: usize = 64;

/// The logits of a frozen network on the views of training images.
pub struct Frozen {
    /// Without autodiff.
    pub network: Network,
    /// Of the pixels, by the network's own configuration.
    pub normalisation: Normalisation,
    /// The training images.
    pub images: Arc<ImageSet>,
    /// The place of each in the whole data set: what tables know them by.
    pub places: Vec<usize>,
    /// The views.
    pub augmentation: Augmentation,
    /// Where the network is.
    pub device: Device,
    /// Where answers are kept; they are the same without.
    pub table: Option<Arc<LogitTable>>,
}

impl Frozen {
    /// Logits `[items, classes]`, row-major, of (image, view) pairs.
    pub fn logits(&self, items: &[(usize, usize)]) -> Vec<f32> {
        let Some(table) = &self.table else { return self.compute(items) };
        let classes = self.classes();
        let known_as: Vec<_> = items.iter().map(|&(image, view)| (self.places[image], view)).collect();
        let mut out = vec![0.0; items.len() * classes];
        let unknown = table.look_up(&known_as, &mut out);
        if !unknown.is_empty() {
            let pick = |of: &[(usize, usize)]| unknown.iter().map(|&i| of[i]).collect::<Vec<_>>();
            let fresh = self.compute(&pick(items));
            for (&at, row) in unknown.iter().zip(fresh.chunks_exact(classes)) {
                out[at * classes..][..classes].copy_from_slice(row);
            }
            table.insert(&pick(&known_as), &fresh);
        }
        out
    }

    fn compute(&self, items: &[(usize, usize)]) -> Vec<f32> {
        let chunk = |chunk: &[(usize, usize)]| {
            let mut filled = chunk.to_vec();
            filled.resize(CHUNK, chunk[0]);
            let mut logits = forward(
                &self.network,
                &self.normalisation,
                &self.images,
                &self.augmentation,
                &self.device,
                &filled,
            );
            logits.truncate(chunk.len() * self.classes());
            logits
        };
        items.chunks(CHUNK).flat_map(chunk).collect()
    }

    /// Classes that the network tells apart.
    pub fn classes(&self) -> usize {
        self.network.classes()
    }
}

/// Logits `[items, classes]`, row-major, in evaluation mode.
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
