//! A graph with how it is asked: images in, answers out.

use super::session::{Failure, Numbers, Session};
use crate::victim::asking::Encoding;

/// Pixels of one call, at most: what bounds a call's time and memory for a given graph.
const CALL: usize = 4 << 20;
/// Images of one call, at most.
pub(super) const CALL_IMAGES: usize = 64;

/// The graph with how it is asked.
pub(super) struct Graph {
    pub(super) encoding: Encoding,
    pub(super) session: Box<dyn Session>,
    /// Images of every call; none for any number.
    pub(super) batch: Option<usize>,
}

impl Graph {
    /// Images of side `side` that go into one call.
    pub(super) fn images_per_call(&self, side: usize) -> usize {
        let image = side * side * self.encoding.channel_count();
        self.batch.unwrap_or_else(|| (CALL / image.max(1)).clamp(1, CALL_IMAGES))
    }

    /// The answers `[images, classes]` to the images `pixels`, no more than one call takes.
    pub(super) fn rows(&self, pixels: &[Vec<u8>], side: usize) -> Result<Vec<f32>, Failure> {
        let count = self.batch.unwrap_or(pixels.len());
        let mut values = Vec::with_capacity(count * side * side * self.encoding.channel_count());
        // A batch of a fixed size is filled up with its first image.
        let filled = pixels.iter().chain(std::iter::repeat(&pixels[0])).take(count);
        filled.for_each(|image| self.encoding.encode(image, &mut values));
        let shape = [&[count][..], &self.encoding.axes(side)].concat();
        let Numbers { shape, mut values } = self.session.run(&Numbers { shape, values })?;
        let of_images = match shape[..] {
            // Some graphs drop the axis of a single image.
            [_] if count == 1 => true,
            [images, ref rest @ ..] => images == count && rest.iter().filter(|side| **side != 1).count() <= 1,
            [] => false,
        };
        if !of_images || values.is_empty() {
            let problem = format!("expected answers [{count}, classes], found numbers of shape {shape:?}");
            return Err(problem.into());
        }
        values.truncate(values.len() / count * pixels.len());
        Ok(values)
    }
}
