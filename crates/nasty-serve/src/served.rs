//! A victim as the model of a server.

use std::sync::Arc;

use miette::Diagnostic;
use nasty_teacher::data::{ImageSet, Normalisation};
use nasty_teacher::defences::{ImageId, Stack};
use nasty_teacher::nets;
use nasty_teacher::victim::{Outage, Request, Scale, Victim, VictimError};
use nasty_teacher::{Classified, ErrorClass};

use crate::about::{About, Input, Output};
use crate::model::{Answered, Fault, Model};

/// A name is part of addresses, and of metrics.
const LONGEST_NAME: usize = 64;

/// A victim that is served.
pub struct Served {
    about: About,
    victim: Arc<dyn Victim>,
}

/// A victim that cannot be served.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum UnservableError {
    /// A name that addresses cannot have.
    #[error(
        "expected a model's name of 1 to {LONGEST_NAME} letters, digits, `.`, `_`, `~` or `-`, found `{0}`"
    )]
    Name(String),
    /// Recorded answers do not know a size.
    #[error("the victim does not say which images it takes, and a server must")]
    NoInput,
    /// It was not made for normalised numbers.
    #[error(
        "the victim takes images of 8 bits a channel only: normalised numbers would be rounded for it without a word"
    )]
    #[diagnostic(help("serve it for pixels"))]
    PixelsOnly,
}

impl Classified for UnservableError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Usage
    }
}

impl Served {
    /// `victim`, which stands behind the defences `stack`, under `name`, for clients who send what `input` says.
    ///
    /// # Errors
    /// [`UnservableError`].
    pub fn new(
        victim: Arc<dyn Victim>,
        stack: &Stack,
        name: String,
        input: Input,
    ) -> Result<Self, UnservableError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._~-".contains(c);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
            return Err(UnservableError::Name(name));
        }
        let nets::Input { channels, side } = victim.input().ok_or(UnservableError::NoInput)?;
        let normalisation = victim.normalisation().cloned();
        if input == Input::Normalised && normalisation.is_none() {
            return Err(UnservableError::PixelsOnly);
        }
        let labels = match victim.names() {
            [] => (0..victim.classes()).map(|class| class.to_string()).collect(),
            names => names.to_vec(),
        };
        let output = match victim.scale() {
            Scale::Logits => Output::Logits,
            Scale::Probabilities => Output::Probabilities,
        };
        let about = About {
            name,
            image: [channels, side, side],
            labels,
            input,
            output,
            normalisation,
            defence: stack.to_string(),
            reveals: victim.front().interface().to_string(),
        };
        Ok(Self { about, victim })
    }

    /// The rows of the images asked for. Images that the victim cannot answer must not fail those that share their batch:
    /// they are found by halving.
    fn rows(&self, request: &Request<'_>) -> Result<Vec<f32>, Fault> {
        match self.victim.ask(request) {
            Ok(answers) => Ok(answers.rows),
            Err(VictimError::Defence { .. }) => {
                let items = &request.items;
                if items.len() == 1 {
                    return Ok(vec![f32::NAN; self.about.classes()]);
                }
                let (left, right) = items.split_at(items.len() / 2);
                let part = |items: &[(usize, usize)]| {
                    self.rows(&Request { items: items.to_vec(), ..request.clone() })
                };
                Ok([part(left)?, part(right)?].concat())
            }
            // Its words are for the owner: they may name files and hosts.
            Err(error) => {
                tracing::error!("the victim does not answer: {error}");
                Err(match error {
                    VictimError::Ended { retry_after, .. } => Fault::Restarting { retry_after },
                    VictimError::Unavailable { outage: Outage::Busy { retry_after }, .. } => {
                        Fault::Busy { retry_after }
                    }
                    VictimError::Unavailable { outage: Outage::Slow, .. } => Fault::Slow,
                    VictimError::Unavailable { outage: Outage::Unreachable, .. }
                    | VictimError::Endpoint { .. } => Fault::Gateway,
                    _ => Fault::Model("this server's messages say why".into()),
                })
            }
        }
    }
}

impl Model for Served {
    fn about(&self) -> &About {
        &self.about
    }

    fn answer(&self, images: &[f32]) -> Result<Answered, Fault> {
        let [channels, height, width] = self.about.image;
        let count = images.len() / self.about.image_len();
        let exact = (self.about.input == Input::Normalised).then(|| channels_last(images, self.about.image));
        let levels = match (&exact, &self.about.normalisation) {
            (Some(exact), Some(normalisation)) => nearest_levels(exact, normalisation),
            _ => channels_last(images, self.about.image).iter().map(|level| *level as u8).collect(),
        };
        let ids = levels.chunks_exact(self.about.image_len()).map(ImageId::of).collect();
        let set = ImageSet::new(height, width, channels, levels, vec![0; count]);
        let request = match &exact {
            Some(exact) => Request::exactly(&set, exact),
            None => Request::unchanged(&set),
        };
        Ok(Answered { rows: self.rows(&request)?, images: ids })
    }
}

/// `images` `[n, channels, height, width]` as `[n, height, width, channels]`.
fn channels_last(images: &[f32], [channels, height, width]: [usize; 3]) -> Vec<f32> {
    let plane = height * width;
    let mut out = vec![0.0; images.len()];
    for (image, out) in images.chunks_exact(channels * plane).zip(out.chunks_exact_mut(channels * plane)) {
        for (channel, plane) in image.chunks_exact(plane).enumerate() {
            let places = out[channel..].iter_mut().step_by(channels);
            places.zip(plane).for_each(|(out, number)| *out = *number);
        }
    }
    out
}

/// The levels, 0 to 255, that are nearest to normalised numbers `[…, channels]`.
fn nearest_levels(numbers: &[f32], Normalisation { mean, std }: &Normalisation) -> Vec<u8> {
    let channels = mean.iter().zip(std);
    let level = |(number, (mean, std)): (&f32, (&f32, &f32))| {
        // Casts saturate.
        (255.0 * (number * std + mean)).round() as u8
    };
    numbers.iter().zip(channels.cycle()).map(level).collect()
}

#[cfg(test)]
#[path = "served_tests.rs"]
mod tests;
