//! What a server offers: the model's name, its tensors and its classes.

use nasty_teacher::data::Normalisation;

/// The name of the input tensor, as in an exported ONNX file.
pub const INPUT: &str = "input";
/// The one version that a model has.
pub const VERSION: &str = "1";

/// A description of the model that is served.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// The name by which clients ask for it.
    pub name: String,
    /// Channels, height and width of an image.
    pub image: [usize; 3],
    /// The classes' names, in the order of the answers.
    pub labels: Vec<String>,
    /// What clients send.
    pub input: Input,
    /// What they get.
    pub output: Output,
    /// How images were normalised when the weights were trained, where that is known.
    pub normalisation: Option<Normalisation>,
    /// The defences in front of it, as text.
    pub defence: String,
    /// What its answers reveal, in words.
    pub reveals: String,
}

/// What clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Normalised images, FP32.
    Normalised,
    /// Pixels: UINT8, or FP32 from 0 to 1.
    Pixels,
}

/// What clients get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Logits.
    Logits,
    /// Probabilities, possibly changed by defences or cut to what is revealed.
    Probabilities,
}

impl Output {
    /// The name of the output tensor, as in an exported ONNX file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Probabilities => "probabilities",
        }
    }
}

impl About {
    /// Numbers of an image.
    pub fn image_len(&self) -> usize {
        self.image.iter().product()
    }

    /// Classes that it tells apart.
    pub fn classes(&self) -> usize {
        self.labels.len()
    }

    /// The datatypes of the input, the advertised one first.
    pub fn datatypes(&self) -> &'static [&'static str] {
        match self.input {
            Input::Normalised => &["FP32"],
            Input::Pixels => &["UINT8", "FP32"],
        }
    }
}
