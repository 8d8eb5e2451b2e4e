//! Victims. A thief reaches a victim only through [`Victim::ask`]: images in, answers out.
//!
//! A victim owns its identity, its [`Interface`], its [`Meter`] and its cache. One image answered is one query; repeats
//! and views count. White-box attacks do not use this interface: they take a network and say so.

mod answers;
mod arranged;
mod asking;
mod error;
mod front;
#[cfg(feature = "download")]
pub mod http;
mod http_settings;
mod interface;
pub mod logits;
pub mod onnx;
mod own;
mod recorded;
mod request;
mod revealing;
mod scripted;
#[cfg(test)]
mod tests;

pub use answers::{Answers, LOG_FLOOR, Scale, argmax, log_probabilities};
pub use arranged::Arranged;
pub use asking::{Asking, ChannelOrder, Encoding, Guess, Layout, White};
pub use error::{Outage, VictimError};

pub use front::{Front, Meter};
#[cfg(feature = "download")]
pub use http::Http;
pub use http_settings::{HttpSettings, SecretHeader, Tensors};
pub use interface::Interface;
pub use onnx::Onnx;
pub use own::OwnNetwork;
pub use recorded::{Recorded, Recording, content_hash, record};
pub use request::{Origin, Request};
pub use revealing::Revealing;
pub use scripted::Scripted;

use crate::data::Normalisation;
use crate::nets::Input;

/// A classifier that answers queries.
pub trait Victim: Send + Sync {
    /// Its identity, interface and meter.
    fn front(&self) -> &Front;

    /// The answers to the images of `request`, in their order, and one query more on the meter for each.
    ///
    /// The answer to an image does not depend on which others are asked for with it.
    ///
    /// # Errors
    /// [`VictimError`] for images that the victim does not take or cannot answer; nothing is counted then.
    fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError>;

    /// What the victim is: a digest of all that decides its answers, interface aside.
    fn identity(&self) -> &str {
        self.front().identity()
    }

    /// Classes that it tells apart.
    fn classes(&self) -> usize {
        self.front().classes()
    }

    /// The classes' names, in the order of its answers; empty if they are not known.
    fn names(&self) -> &[String] {
        self.front().names()
    }

    /// The images that it takes; none if it takes any.
    fn input(&self) -> Option<Input> {
        self.front().input()
    }

    /// How the numbers of [`Request::exact`] are normalised that it answers to; none if it takes images of 8 bits a channel
    /// only.
    fn normalisation(&self) -> Option<&Normalisation> {
        self.front().normalisation()
    }

    /// What the numbers of its answers are.
    fn scale(&self) -> Scale {
        self.front().scale()
    }

    /// Queries answered so far.
    fn queries(&self) -> u64 {
        self.front().meter().queries()
    }
}
