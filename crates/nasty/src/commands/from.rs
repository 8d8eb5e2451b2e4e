//! What a recipe takes over from networks that were typed: weights to begin with, and the size of pictures.

use super::place::PlaceArgs;
use crate::failure::Result;
use crate::ui;
use nasty_teacher::data::{DataName, Framing};
use nasty_teacher::lab::{Head, Workplace, head, load_network};
use nasty_teacher::nets::{Architecture, NetworkConfig};

/// A network that was typed, with its description.
pub struct Typed<'a> {
    /// As it was typed.
    pub text: &'a str,
    /// Its description.
    pub config: NetworkConfig,
}

impl<'a> Typed<'a> {
    /// The network that `text` means.
    pub fn read(text: &'a str, place: &PlaceArgs, workplace: &Workplace) -> Result<Self> {
        let (_, config) = load_network(text, &place.store, &workplace.device)?;
        Ok(Self { text, config })
    }

    /// What is kept of it where training begins with its weights.
    pub fn kept(&self, classes: &[String]) -> String {
        let NetworkConfig { mean, std, .. } = &self.config;
        let last = match head(&self.config, classes) {
            Head::Kept(_) => "its last layer".to_owned(),
            Head::New(why) => format!("a new last layer for {} classes ({why})", classes.len()),
        };
        format!("begins with the weights of {}, its mean {mean:?} and std {std:?}, and {last}", self.text)
    }
}

/// What the pictures of a folder become: what was typed, else what `network` takes, else what the architecture was made for
/// where that is one for photos.
pub fn framing(
    data: &DataName,
    changes: &[String],
    network: Option<&Typed<'_>>,
    architecture: Architecture,
    quiet: bool,
) -> Option<Framing> {
    let typed = changes.iter().rev().find_map(|change| change.strip_prefix("data.side="));
    // A side that is none is reported with the other changes.
    if let Some(typed) = typed {
        return typed.parse().ok();
    }
    if !matches!(data, DataName::Folder(_)) {
        return None;
    }
    let (framing, why) = match (network, architecture.usual_side()) {
        (Some(network), _) => (network.config.framing(), format!("as {} takes them", network.text)),
        (None, 224) => {
            (Framing::square(224), format!("as {architecture} was made for; data.side=N changes it"))
        }
        (None, _) => return None,
    };
    ui::say(quiet, &format!("pictures: {}, {why}", framing.in_words()));
    Some(framing)
}
