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

/// A model that cannot answer, for no fault of the client. The words are for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The model failed.
    #[error("the model cannot answer: {0}")]
    Model(String),
    /// The process that computes the model ended; it is started again when it is asked again.
    #[error("the model's process ended and is started again; this server's messages say why")]
    Restarting {
        /// Seconds after which the model can be asked again.
        retry_after: u64,
    },
    /// The model is behind another server, which cannot be reached, or whose answers are none.
    #[error("the server that has the model does not answer; this server's messages say why")]
    Gateway,
    /// That server does not answer in time.
    #[error("the server that has the model does not answer in time")]
    Slow,
    /// That server is busy.
    #[error("the server that has the model is busy")]
    Busy {
        /// Seconds after which it wants to be asked again, if it says so.
        retry_after: Option<u64>,
    },
}
