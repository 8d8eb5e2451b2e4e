//! One of our networks as a victim, with a table of the logits that it has already computed.

use super::logits::{LogitTable, LogitTables, TableKey};
use super::{Answers, Front, Interface, Request, Scale, Victim, VictimError};
use crate::data::{Augmentation, Normalisation, render};
use crate::nets::{Answering, Input, Network};
use crate::numerics::Numerics;
use burn::tensor::Device;
use std::sync::Arc;

/// Images a forward pass, at most.
const CHUNK: usize = 64;

/// A network trained or imported here.
pub struct OwnNetwork {
    front: Front,
    network: Answering,
    input: Input,
    normalisation: Normalisation,
    table: Option<Arc<LogitTable>>,
}

impl OwnNetwork {
    /// The victim `network`, on `device` without autodiff, whose weights have the digest `weights` and which takes images
    /// normalised by `normalisation`. It serves logits.
    pub fn new(network: &Network, normalisation: Normalisation, weights: String, device: &Device) -> Self {
        let input = network.input();
        let front = Front::new(weights, network.classes(), Scale::Logits);
        let front = front.taking(input).exact(normalisation.clone());
        Self { front, network: Answering::new(network, device), input, normalisation, table: None }
    }

    /// The same victim, whose classes are called `names`.
    ///
    /// # Panics
    /// If there is not one name a class.
    pub fn named(self, names: Vec<String>) -> Self {
        Self { front: self.front.named(names), ..self }
    }

    /// The same victim with another interface.
    ///
    /// # Errors
    /// [`VictimError::Interface`] for one that no network of its classes can serve.
    pub fn behind(self, interface: Interface) -> Result<Self, VictimError> {
        Ok(Self { front: self.front.behind(interface)?, ..self })
    }

    /// The same victim, which looks up in `tables` what it answered before to views by `augmentation` of the set of `images`
    /// images called `set` (see [`Origin`](super::Origin)), computed with `numerics`. Its answers are the same without.
    pub fn remembering(
        self,
        tables: &LogitTables,
        numerics: Numerics,
        set: &str,
        images: usize,
        augmentation: &Augmentation,
    ) -> Self {
        let key = TableKey {
            weights: self.front.identity().to_owned(),
            numerics,
            data: set.to_owned(),
            augmentation: augmentation.clone(),
            images,
            classes: self.front.classes(),
        };
        Self { table: tables.table(&key), ..self }
    }

    fn compute(&self, request: &Request<'_>, items: &[(usize, usize)]) -> Vec<f32> {
        let Request { images, augmentation, .. } = request;
        let chunk = |chunk: &[(usize, usize)]| {
            let pixels = |items: &[(usize, usize)]| match request.exact {
                Some(exact) => picked(exact, images.image_bytes(), items),
                None => render(images, &self.normalisation, augmentation, items),
            };
            if self.network.is_prepared() {
                return self.network.logits(pixels(chunk));
            }
            // Elsewhere the order of sums may depend on the batch's size. With batches of one size only, an image's logits
            // do not depend on which others were asked for with it.
            let mut filled = chunk.to_vec();
            filled.resize(CHUNK, chunk[0]);
            let mut logits = self.network.logits(pixels(&filled));
            logits.truncate(chunk.len() * self.front.classes());
            logits
        };
        items.chunks(CHUNK).flat_map(chunk).collect()
    }

    /// The logits `[items, classes]` of the request, from the table as far as it knows them.
    fn logits(&self, request: &Request<'_>) -> Vec<f32> {
        let known = self.table.as_ref().zip(request.origin);
        let known = known
            .filter(|(table, from)| request.exact.is_none() && table.serves(from.set, &request.augmentation));
        let Some((table, origin)) = known else { return self.compute(request, &request.items) };
        let classes = self.front.classes();
        let known_as: Vec<_> =
            request.items.iter().map(|&(image, view)| (origin.places[image], view)).collect();
        let mut out = vec![0.0; known_as.len() * classes];
        let unknown = table.look_up(&known_as, &mut out);
        if !unknown.is_empty() {
            let pick = |of: &[(usize, usize)]| unknown.iter().map(|&i| of[i]).collect::<Vec<_>>();
            let fresh = self.compute(request, &pick(&request.items));
            for (&at, row) in unknown.iter().zip(fresh.chunks_exact(classes)) {
                out[at * classes..][..classes].copy_from_slice(row);
            }
            table.insert(&pick(&known_as), &fresh);
        }
        out
    }
}

/// The numbers of `items`, `length` an image.
fn picked(exact: &[f32], length: usize, items: &[(usize, usize)]) -> Vec<f32> {
    items.iter().flat_map(|&(image, _)| &exact[image * length..][..length]).copied().collect()
}

impl Victim for OwnNetwork {
    fn front(&self) -> &Front {
        &self.front
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
        let input = self.input;
        request.check(input.channels, input.side)?;
        Ok(self.front.serve(self.logits(request)))
    }
}
