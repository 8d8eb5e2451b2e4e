//! A frozen network: asked for logits, never trained. What it answers for an (image, view) never changes,
//! so every answer is kept and looked up when the pair comes again.

use crate::data::{Augmentation, ImageSet, Normalisation, render};
use crate::nets::{Mode, Network};
use burn::tensor::{Device, Tensor, TensorData};
use std::sync::Arc;

/// Tables larger than this are not kept (4 bytes a logit): 2 GiB.
const TABLE_BUDGET_BYTES: usize = 2 << 30;

/// The logits of a frozen network on the views of one set of images.
pub struct Frozen {
    network: Network,
    normalisation: Normalisation,
    images: Arc<ImageSet>,
    augmentation: Augmentation,
    device: Device,
    table: Option<Table>,
}

/// Logits by (image, view), filled as they are asked for.
struct Table {
    views: usize,
    known: Vec<bool>,
    logits: Vec<f32>,
}

impl Frozen {
    /// A frozen `network` (without autodiff), which wants images normalised by its own `normalisation`.
    /// With `keep`, its logits are kept in a table if that fits the budget; they are the same either way.
    pub fn new(
        network: Network,
        normalisation: Normalisation,
        images: Arc<ImageSet>,
        augmentation: Augmentation,
        device: Device,
        keep: bool,
    ) -> Self {
        let views = augmentation.count();
        let entries = images.len() * views;
        let table =
            (keep && entries * network.classes() * size_of::<f32>() <= TABLE_BUDGET_BYTES).then(|| Table {
                views,
                known: vec![false; entries],
                logits: vec![0.0; entries * network.classes()],
            });
        Self { network, normalisation, images, augmentation, device, table }
    }

    /// Logits `[items, classes]`, row-major, of (image, view) pairs.
    pub fn logits(&mut self, items: &[(usize, usize)]) -> Vec<f32> {
        let Some(table) = &mut self.table else {
            return forward(
                &self.network,
                &self.normalisation,
                &self.images,
                &self.augmentation,
                &self.device,
                items,
            );
        };
        let classes = self.network.classes();
        let slot = |&(image, view): &(usize, usize)| image * table.views + view;
        let unknown: Vec<_> = items.iter().copied().filter(|item| !table.known[slot(item)]).collect();
        if !unknown.is_empty() {
            let fresh = forward(
                &self.network,
                &self.normalisation,
                &self.images,
                &self.augmentation,
                &self.device,
                &unknown,
            );
            for (item, row) in unknown.iter().zip(fresh.chunks_exact(classes)) {
                let at = slot(item);
                table.known[at] = true;
                table.logits[at * classes..][..classes].copy_from_slice(row);
            }
        }
        items.iter().flat_map(|item| &table.logits[slot(item) * classes..][..classes]).copied().collect()
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
