//! A request to a victim.

use super::VictimError;
use crate::data::{Augmentation, ImageSet, Normalisation, render};

/// Images that a victim is asked about: views of an image set.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The image set.
    pub images: &'a ImageSet,
    /// Its views.
    pub augmentation: Augmentation,
    /// (image, view) pairs, each one query.
    pub items: Vec<(usize, usize)>,
    /// Where the images come from, if that is known. It saves a victim work; answers do not depend on it.
    pub origin: Option<Origin<'a>>,
    /// The numbers `[images, height, width, channels]`, normalised as [`Victim::normalisation`](super::Victim::normalisation)
    /// says, of which `images` are the nearest images of 8 bits a channel. None for images that have no more than 8 bits. A
    /// victim that has a normalisation answers to these; only items without a view can be asked for.
    pub exact: Option<&'a [f32]>,
}

/// Where images come from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The name of a set of images, such as the digest of the data set whose training images they are.
    pub set: &'a str,
    /// The place of each image of the request's image set in that set.
    pub places: &'a [usize],
}

impl<'a> Request<'a> {
    /// All of `images` as they are.
    pub fn unchanged(images: &'a ImageSet) -> Self {
        let augmentation = Augmentation::none();
        let items = (0..images.len()).map(|image| (image, augmentation.identity())).collect();
        Self { images, augmentation, items, origin: None, exact: None }
    }

    /// The images whose normalised numbers are `exact` `[images, height, width, channels]`, for a victim that has a
    /// normalisation; `images` are the nearest images of 8 bits a channel.
    ///
    /// # Panics
    /// If there are not as many numbers as pixels.
    pub fn exactly(images: &'a ImageSet, exact: &'a [f32]) -> Self {
        assert_eq!(exact.len(), images.len() * images.image_bytes(), "one number a pixel and channel");
        Self { exact: Some(exact), ..Self::unchanged(images) }
    }

    /// Views of `images`: (image, view) pairs, views by `augmentation`.
    pub fn views(images: &'a ImageSet, augmentation: &Augmentation, items: Vec<(usize, usize)>) -> Self {
        Self { images, augmentation: augmentation.clone(), items, origin: None, exact: None }
    }

    /// The same request with the origin of its images.
    pub fn from(self, origin: Option<Origin<'a>>) -> Self {
        Self { origin, ..self }
    }

    /// The asked-for images as they are shown, 8 bits a channel, each `[height, width, channels]`.
    pub fn pixels(&self) -> Vec<Vec<u8>> {
        let channels = self.images.channels;
        // Normalised so, a pixel's number is its 8-bit value.
        let levels = Normalisation { mean: vec![0.0; channels], std: vec![1.0 / 255.0; channels] };
        let shown = render(self.images, &levels, &self.augmentation, &self.items);
        let byte = |value: &f32| value.round() as u8;
        shown.chunks_exact(self.images.image_bytes()).map(|image| image.iter().map(byte).collect()).collect()
    }

    /// Checks that the images have `channels` channels and are squares of `side` pixels.
    ///
    /// # Errors
    /// [`VictimError::Shape`].
    pub(super) fn check(&self, channels: usize, side: usize) -> Result<(), VictimError> {
        let ImageSet { height, width, channels: found, .. } = *self.images;
        if (height, width, found) == (side, side, channels) {
            return Ok(());
        }
        Err(self.misfit(format!("{side}×{side}×{channels} (height×width×channels)")))
    }

    /// The error that the victim takes images of `expected`.
    pub(super) fn misfit(&self, expected: String) -> VictimError {
        let ImageSet { height, width, channels, .. } = *self.images;
        VictimError::Shape {
            expected, found: format!("{height}×{width}×{channels} (height×width×channels)")
        }
    }
}
