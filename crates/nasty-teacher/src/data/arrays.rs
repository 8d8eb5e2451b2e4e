//! Data sets that are arrays of pixels, not pictures.

use std::path::Path;

use rayon::prelude::*;

use super::batches::held_out;
use super::budget;
use super::class_folders::SPLIT_SEED;
use super::error::DataError;
use super::framing::{Framing, centred};
use super::image_set::ImageSet;
use super::resample::{Area, Pixels, resized};
use super::splits::Splits;

/// A split as it is in its files.
#[derive(Clone, Debug)]
pub(super) struct ArraySplit {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    /// `[count, height, width, channels]`
    pub(super) pixels: Vec<u8>,
    /// `[count]`
    pub(super) labels: Vec<u16>,
    /// Names of the classes, where the files have them.
    pub(super) classes: Option<Vec<String>>,
}

impl ArraySplit {
    /// Both splits as images; where there is no test set, a fifth of the images becomes one.
    pub(super) fn finish(
        (train, test): (Self, Option<Self>),
        place: &Path,
        framing: Option<Framing>,
    ) -> Result<Splits, DataError> {
        let highest = |split: &Self| split.labels.iter().max().copied().unwrap_or(0);
        let count = 1 + usize::from(highest(&train).max(test.as_ref().map_or(0, highest)));
        let named = train.classes.clone().filter(|names| names.len() >= count);
        let classes = named.unwrap_or_else(|| (0..count).map(|class| class.to_string()).collect());
        let says = |expected: &str, found: String| {
            Err(DataError::malformed(place.display().to_string(), expected, found))
        };
        if classes.len() < 2 {
            return says("images of two or more classes", format!("{} class", classes.len()));
        }
        if train.labels.is_empty() || test.as_ref().is_some_and(|test| test.labels.is_empty()) {
            return says("images", "none".into());
        }
        let (train, test) = match test {
            Some(test) => (train.framed(place, framing)?, test.framed(place, framing)?),
            None => {
                let all = train.framed(place, framing)?;
                let (train, test) = held_out(&all.labels, all.len().div_ceil(5), SPLIT_SEED);
                tracing::warn!(
                    "{} has no test set: {} of its {} images, a fifth of each class, drawn with seed {SPLIT_SEED}, are the test set",
                    place.display(),
                    test.len(),
                    all.len()
                );
                (all.subset(&train), all.subset(&test))
            }
        };
        let shape = |set: &ImageSet| (set.channels, set.height, set.width);
        if shape(&train) != shape(&test) {
            let (a, b) = (shape(&train), shape(&test));
            return says(
                "images of one size in both splits",
                format!("{}×{}×{} and {}×{}×{}", a.0, a.1, a.2, b.0, b.1, b.2),
            );
        }
        Ok((classes, (train, test)))
    }

    /// The images as squares.
    fn framed(self, place: &Path, framing: Option<Framing>) -> Result<ImageSet, DataError> {
        let Self { height, width, channels, pixels, labels, .. } = self;
        let framing = match framing {
            Some(framing) => framing,
            None if height == width => return Ok(ImageSet::new(height, width, channels, pixels, labels)),
            None => {
                return Err(DataError::Malformed {
                    path: place.display().to_string(),
                    expected: "square images".into(),
                    found: format!("{width}×{height}"),
                    help: "data.side=N makes squares of N×N of all images".into(),
                });
            }
        };
        let side = framing.side();
        if (height, width, framing.shorter()) == (side, side, side) {
            return Ok(ImageSet::new(height, width, channels, pixels, labels));
        }
        let image = height * width * channels;
        let bytes = labels.len() as u128 * (side * side * channels) as u128;
        let mut out = vec![0; budget::check(labels.len(), bytes)?];
        out.par_chunks_exact_mut(side * side * channels).zip(pixels.par_chunks_exact(image)).for_each(
            |(out, image)| match channels {
                1 => frame::<1>(image, height, width, framing, out),
                _ => frame::<3>(image, height, width, framing, out),
            },
        );
        Ok(ImageSet::new(side, side, channels, out, labels))
    }
}

/// The square that an image becomes, into `out`.
fn frame<const C: usize>(image: &[u8], height: usize, width: usize, framing: Framing, out: &mut [u8]) {
    let (to_width, to_height) = framing.resized(width, height);
    let pixels = Pixels { width, pixels: image.as_chunks::<C>().0 };
    let whole = resized(pixels, Area { top: 0, left: 0, height, width }, to_height, to_width);
    let side = framing.side();
    let (top, left) = (centred(to_height, side), centred(to_width, side));
    let rows = whole.chunks_exact(to_width).skip(top);
    for (out, row) in out.chunks_exact_mut(side * C).zip(rows) {
        out.copy_from_slice(row[left..left + side].as_flattened());
    }
}
