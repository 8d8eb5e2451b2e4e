//! Options about how a foreign victim is asked.

use crate::failure::{Result, Trouble};
use clap::Args;
use nasty_teacher::lab::AskOptions;
use nasty_teacher::victim::{
    Asking, ChannelOrder, HttpSettings, Layout, Scale, SecretHeader, Tensors, White,
};
use std::path::PathBuf;

/// How a victim takes images. What is not said is read from its file, or guessed.
#[derive(Args)]
#[command(next_help_heading = "How an ONNX file or a server is asked")]
pub struct PixelArgs {
    /// Order of an image's axes: nchw or nhwc
    #[arg(long, value_name = "ORDER")]
    layout: Option<Layout>,
    /// A white pixel's number, before --mean and --std: 1 or 255
    #[arg(long, value_name = "WHITE")]
    scale: Option<White>,
    /// What is subtracted: one number, or one a channel in the victim's order, such as 0.49,0.48,0.45
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', allow_hyphen_values = true)]
    mean: Vec<f32>,
    /// What it is divided by afterwards
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    std: Vec<f32>,
    /// Order of the colours: rgb or bgr
    #[arg(long, value_name = "ORDER")]
    channels: Option<ChannelOrder>,
    /// Height and width of the images, where the victim takes any
    #[arg(long, value_name = "N")]
    side: Option<usize>,
}

impl PixelArgs {
    /// What was said.
    pub fn asking(&self) -> Asking {
        let list = |numbers: &[f32]| (!numbers.is_empty()).then(|| numbers.to_vec());
        Asking {
            layout: self.layout,
            white: self.scale,
            mean: list(&self.mean),
            std: list(&self.std),
            channels: self.channels,
            side: self.side,
            ..Asking::default()
        }
    }
}

/// How a victim is asked that is not one of our networks. What is not said is read from its file, or guessed.
#[derive(Args)]
#[command(next_help_heading = "How an ONNX file or a server is asked")]
pub struct AskingArgs {
    #[command(flatten)]
    pixels: PixelArgs,
    /// What it answers: logits, probabilities or auto [default: auto]
    #[arg(long, value_name = "KIND", value_parser = output)]
    output: Option<Output>,
    /// How many classes it tells apart, where it does not say so
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// File with the classes' names in the order of its answers, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// A header of requests, its value from the environment; may be given several times
    #[arg(long = "header", value_name = "NAME=env:VARIABLE")]
    headers: Vec<SecretHeader>,
    /// Template of requests, for servers that speak no known protocol
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Certificates (PEM) that an https server's must be signed by, such as its own; else those of the public authorities
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// How tensors are sent: auto (as bytes where the server takes them) or json
    #[arg(long, value_name = "FORM", default_value = "auto")]
    tensors: Tensors,
    /// Images a request [default: 16]
    #[arg(long, value_name = "N")]
    request_images: Option<usize>,
    /// Requests at once [default: 4]
    #[arg(long, value_name = "N")]
    requests: Option<usize>,
    /// Seconds to wait for an answer [default: 60]
    #[arg(long, value_name = "SECONDS")]
    request_timeout: Option<u64>,
}

#[derive(Clone, Copy)]
struct Output(Option<Scale>);

fn output(text: &str) -> std::result::Result<Output, String> {
    match text {
        "auto" => Ok(Output(None)),
        "logits" => Ok(Output(Some(Scale::Logits))),
        "probabilities" => Ok(Output(Some(Scale::Probabilities))),
        _ => Err("expected logits, probabilities or auto".into()),
    }
}

impl AskingArgs {
    /// What was said.
    pub fn options(&self) -> Result<AskOptions> {
        let http = HttpSettings {
            headers: self.headers.clone(),
            template: self.template.clone(),
            ca: self.ca.clone(),
            tensors: self.tensors,
            batch: self.request_images,
            requests: self.requests,
            timeout: self.request_timeout,
            tries: None,
        };
        Ok(AskOptions { asking: self.asking()?, http, ..AskOptions::default() })
    }

    fn asking(&self) -> Result<Asking> {
        let labels = self.labels.as_ref().map(|path| {
            let text = std::fs::read_to_string(path).map_err(|e| Trouble::refused(path.display(), &e))?;
            Ok::<_, Trouble>(
                text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect(),
            )
        });
        Ok(Asking {
            output: self.output.and_then(|output| output.0),
            classes: self.classes,
            labels: labels.transpose()?,
            ..self.pixels.asking()
        })
    }
}

/// The options that say what `asking` says and `given` does not.
pub fn options(asking: &Asking, given: &Asking) -> String {
    let mut words = Vec::new();
    let mut option = |name: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("--{name} {value}")));
    };
    let new = |differs: bool, value: String| differs.then_some(value);
    let list = |numbers: &[f32]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    if let Some(layout) = asking.layout {
        let name = if layout == Layout::Nchw { "nchw" } else { "nhwc" };
        option("layout", new(asking.layout != given.layout, name.to_owned()));
    }
    if let Some(white) = asking.white {
        let name = if white == White::One { "1" } else { "255" };
        option("scale", new(asking.white != given.white, name.to_owned()));
    }
    if let Some(channels) = asking.channels {
        let name = if channels == ChannelOrder::Rgb { "rgb" } else { "bgr" };
        option("channels", new(asking.channels != given.channels, name.to_owned()));
    }
    for (name, now, before) in [("mean", &asking.mean, &given.mean), ("std", &asking.std, &given.std)] {
        option(name, now.as_ref().and_then(|now| new(Some(now) != before.as_ref(), list(now))));
    }
    words.join(" ")
}
