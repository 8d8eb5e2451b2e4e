//! What answers the requests.

use nasty_teacher::defences::ImageId;

use crate::about::About;

/// A classifier with its defences, as a server asks it.
pub trait Model: Send + Sync {
    /// Its name, tensors and classes.
    fn about(&self) -> &About;

    /// The served answers to `images` `[n, channels, height, width]`: normalised, or levels 0 to 255, as
    /// [`About::input`] says. An image's answer does not depend on the others; one that cannot be answered gets numbers that
    /// are not finite.
    ///
    /// # Errors
    /// [`Fault`] if none of them can be answered.
    fn answer(&self, images: &[f32]) -> Result<Answered, Fault>;
}

/// Answers to images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    /// The served rows `[n, classes]`.
    pub rows: Vec<f32>,
    /// What each image is known by: the SHA-256 of its pixels `[height, width, channels]`, 8 bits a channel.
    pub images: Vec<ImageId>,
}

/// A model that cannot answer, for no fault of the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model cannot answer: {0}")]
pub struct Fault(pub String);
