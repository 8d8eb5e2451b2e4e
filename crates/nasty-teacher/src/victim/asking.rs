//! How a foreign classifier is asked: what it takes images as, and what its numbers are. What a file or a server does not
//! say, and nobody else says either, is guessed, and every guess is named.

use super::Scale;
use crate::data::ImageSet;
use crate::nets::Input;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The longest side of images.
const MOST_SIDE: usize = 1024;

/// What a person says about how a victim is asked. All of it is optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asking {
    /// The order of an image's axes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// The number of a white pixel, before `mean` and `std`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub white: Option<White>,
    /// What is subtracted from each channel, in the order of the victim's channels: one number, or one a channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    /// What each channel is divided by afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f32>>,
    /// The order of the channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<ChannelOrder>,
    /// Height and width of the images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<usize>,
    /// What the numbers of its answers are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Scale>,
    /// How many classes it tells apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    /// The classes' names, in the order of its answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
}

impl Asking {
    /// In words, what was said.
    pub fn said(&self) -> Vec<&'static str> {
        let Self { layout, white, mean, std, channels, side, output, classes, labels } = self;
        let said = [
            (layout.is_some(), "layout"),
            (white.is_some(), "scale"),
            (mean.is_some(), "mean"),
            (std.is_some(), "std"),
            (channels.is_some(), "channels"),
            (side.is_some(), "side"),
            (output.is_some(), "output"),
            (classes.is_some(), "classes"),
            (labels.is_some(), "labels"),
        ];
        said.into_iter().filter_map(|(said, what)| said.then_some(what)).collect()
    }
}

/// The order of an image's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `[channels, height, width]`.
    Nchw,
    /// `[height, width, channels]`.
    Nhwc,
}

/// The number of a white pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum White {
    /// Pixels are numbers from 0 to 1.
    #[serde(rename = "1")]
    One,
    /// Pixels are numbers from 0 to 255.
    #[serde(rename = "255")]
    Full,
}

/// The order of the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// Something about how a victim is asked that was guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// The order of the axes.
    Layout,
    /// The number of a white pixel.
    White,
    /// That nothing is subtracted and divided by.
    Normalisation,
    /// The order of the channels.
    Channels,
    /// What the answers are.
    Output,
}

/// What a file or a server says about a victim's images.
#[derive(Clone, Debug, Default)]
pub(super) struct Stated {
    /// The sizes of an image's three axes, where they are fixed.
    pub(super) axes: [Option<usize>; 3],
    /// Mean and standard deviation of pixels from 0 to 1, a channel each.
    pub(super) normalisation: Option<(Vec<f32>, Vec<f32>)>,
    /// Whether it takes bytes, not floating-point numbers.
    pub(super) bytes: bool,
    /// Images of every request, where that is fixed.
    #[cfg_attr(not(feature = "download"), expect(dead_code, reason = "only servers are asked by it"))]
    pub(super) batch: Option<usize>,
}

/// How a victim is asked, with nothing left open.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoding {
    /// The order of the axes.
    pub layout: Layout,
    /// The number of a white pixel.
    pub white: White,
    /// Subtracted from each channel, in the order of the victim's channels.
    pub mean: Vec<f32>,
    /// What it is divided by.
    pub std: Vec<f32>,
    /// The order of the channels.
    pub channels: ChannelOrder,
    /// Height and width; none for any.
    pub side: Option<usize>,
}

impl Encoding {
    /// What `asking` and the victim's own statement give, and what had to be guessed.
    ///
    /// # Errors
    /// Where they contradict each other, as a sentence.
    pub(super) fn of(asking: &Asking, stated: &Stated) -> Result<(Self, Vec<Guess>), String> {
        let mut guesses = Vec::new();
        let [a, b, c] = stated.axes;
        let colours = |axis: Option<usize>| matches!(axis, Some(1 | 3));
        let first = colours(a) && (!colours(c) || b == c && a != b);
        let last = colours(c) && (!colours(a) || a == b && b != c);
        let layout = match (asking.layout, first, last) {
            (Some(layout), ..) => layout,
            (None, true, false) => Layout::Nchw,
            (None, false, true) => Layout::Nhwc,
            (None, ..) => {
                guesses.push(Guess::Layout);
                Layout::Nchw
            }
        };
        let (channels, height, width) = match layout {
            Layout::Nchw => (a, b, c),
            Layout::Nhwc => (c, a, b),
        };
        let count = channels.unwrap_or(3);
        if ![1, 3].contains(&count) {
            return Err(format!("expected images of 1 or 3 channels, found {}", shape(layout, stated.axes)));
        }
        if let (Some(height), Some(width)) = (height, width)
            && height != width
        {
            return Err(format!("expected square images, found {height}×{width} (height×width)"));
        }
        let fixed = height.or(width);
        if let (Some(fixed), Some(side)) = (fixed, asking.side)
            && fixed != side
        {
            return Err(format!("images of side {side} were asked for, but it takes images of side {fixed}"));
        }
        let side = asking.side.or(fixed);
        if side.is_some_and(|side| !(1..=MOST_SIDE).contains(&side)) {
            return Err(format!(
                "expected images with a side of 1 to {MOST_SIDE}, found {}",
                side.unwrap_or(0)
            ));
        }
        let given = asking.mean.is_some() || asking.std.is_some();
        let own = stated.normalisation.as_ref().filter(|_| !given && asking.white != Some(White::Full));
        let white = match asking.white {
            Some(white) => white,
            None if stated.bytes => White::Full,
            None if own.is_some() => White::One,
            None => {
                guesses.push(Guess::White);
                let large = asking.mean.as_ref().is_some_and(|mean| mean.iter().any(|m| *m > 2.0));
                if large { White::Full } else { White::One }
            }
        };
        if own.is_none() && !given && asking.white.is_none() && !stated.bytes {
            guesses.push(Guess::Normalisation);
        }
        let order = match asking.channels {
            Some(order) => order,
            None => {
                if count == 3 && own.is_none() {
                    guesses.push(Guess::Channels);
                }
                ChannelOrder::Rgb
            }
        };
        let values = |given: &Option<Vec<f32>>, own: Option<&Vec<f32>>, usual: f32, what: &str| {
            let values = given.as_ref().or(own).cloned().unwrap_or_else(|| vec![usual]);
            let values = if values.len() == 1 { vec![values[0]; count] } else { values };
            if values.len() != count {
                return Err(format!("expected {count} numbers as {what}, found {}", values.len()));
            }
            Ok(values)
        };
        let mean = values(&asking.mean, own.map(|own| &own.0), 0.0, "mean")?;
        let std = values(&asking.std, own.map(|own| &own.1), 1.0, "standard deviation")?;
        if mean.iter().chain(&std).any(|v| !v.is_finite()) || std.iter().any(|s| *s <= 0.0) {
            return Err("expected a finite mean and a positive standard deviation".to_owned());
        }
        if stated.bytes
            && (mean.iter().any(|m| *m != 0.0) || std.iter().any(|s| *s != 1.0) || white == White::One)
        {
            return Err("it takes bytes from 0 to 255, which cannot be normalised".to_owned());
        }
        Ok((Self { layout, white, mean, std, channels: order, side }, guesses))
    }

    /// Channels of an image.
    pub fn channel_count(&self) -> usize {
        self.mean.len()
    }

    /// The images that it is for; none if their side is open.
    pub fn input(&self) -> Option<Input> {
        self.side.map(|side| Input { channels: self.channel_count(), side })
    }

    /// Why `images` are not of this kind; none if they are.
    pub(super) fn misfit(&self, images: &ImageSet) -> Option<String> {
        let ImageSet { height, width, channels, .. } = *images;
        let fits = height == width
            && channels == self.channel_count()
            && self.side.is_none_or(|side| side == height);
        let side = self.side.map_or_else(|| "N×N".to_owned(), |side| format!("{side}×{side}"));
        (!fits).then(|| format!("{side}×{} (height×width×channels)", self.channel_count()))
    }

    /// The axes of one image of side `side`, in the victim's order.
    pub(super) fn axes(&self, side: usize) -> [usize; 3] {
        let channels = self.channel_count();
        match self.layout {
            Layout::Nchw => [channels, side, side],
            Layout::Nhwc => [side, side, channels],
        }
    }

    /// Appends an image `[height, width, channels]` of 8 bits a channel as the victim takes it.
    pub(super) fn encode(&self, pixels: &[u8], out: &mut Vec<f32>) {
        let count = self.channel_count();
        let white = if self.white == White::Full { 255.0 } else { 1.0 };
        let place =
            |channel: usize| if self.channels == ChannelOrder::Bgr { count - 1 - channel } else { channel };
        let number = |channel: usize, pixel: u8| {
            // A byte on its own scale stays exact.
            let level = if white == 255.0 { f32::from(pixel) } else { f32::from(pixel) / 255.0 };
            (level - self.mean[channel]) / self.std[channel]
        };
        let table: Vec<[f32; 256]> =
            (0..count).map(|channel| std::array::from_fn(|pixel| number(channel, pixel as u8))).collect();
        match self.layout {
            Layout::Nhwc => {
                for pixel in pixels.chunks_exact(count) {
                    out.extend((0..count).map(|channel| table[channel][usize::from(pixel[place(channel)])]));
                }
            }
            Layout::Nchw => {
                for (channel, table) in table.iter().enumerate() {
                    out.extend(
                        pixels.chunks_exact(count).map(|pixel| table[usize::from(pixel[place(channel)])]),
                    );
                }
            }
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = self.side.map_or_else(|| "side".to_owned(), |side| side.to_string());
        let count = self.channel_count();
        match self.layout {
            Layout::Nchw => write!(f, "[N, {count}, {side}, {side}]")?,
            Layout::Nhwc => write!(f, "[N, {side}, {side}, {count}]")?,
        }
        if count == 3 {
            f.write_str(if self.channels == ChannelOrder::Rgb { ", RGB" } else { ", BGR" })?;
        }
        write!(f, ", pixels from 0 to {}", if self.white == White::Full { 255 } else { 1 })?;
        let plain = self.mean.iter().all(|m| *m == 0.0) && self.std.iter().all(|s| *s == 1.0);
        if plain {
            f.write_str(", not normalised")
        } else {
            write!(f, ", mean {:?}, std {:?}", self.mean, self.std)
        }
    }
}

impl fmt::Display for Guess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Layout => "the order of the axes",
            Self::White => "the scale of the pixels",
            Self::Normalisation => "that images are not normalised",
            Self::Channels => "that colours are RGB",
            Self::Output => "whether it answers logits or probabilities",
        })
    }
}

/// The axes in words.
fn shape(layout: Layout, axes: [Option<usize>; 3]) -> String {
    let axes = axes.map(|axis| axis.map_or_else(|| "?".to_owned(), |axis| axis.to_string())).join(", ");
    format!("[N, {axes}] read as {}", if layout == Layout::Nchw { "NCHW" } else { "NHWC" })
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nchw" => Ok(Self::Nchw),
            "nhwc" => Ok(Self::Nhwc),
            _ => Err("expected nchw or nhwc".into()),
        }
    }
}

impl FromStr for White {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1" => Ok(Self::One),
            "255" => Ok(Self::Full),
            _ => Err("expected 1 or 255".into()),
        }
    }
}

impl FromStr for ChannelOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "rgb" => Ok(Self::Rgb),
            "bgr" => Ok(Self::Bgr),
            _ => Err("expected rgb or bgr".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(axes: [usize; 3]) -> Stated {
        Stated { axes: axes.map(|axis| (axis > 0).then_some(axis)), ..Stated::default() }
    }

    fn of(asking: &Asking, axes: [usize; 3]) -> (Encoding, Vec<Guess>) {
        Encoding::of(asking, &stated(axes)).expect("no contradiction")
    }

    #[test]
    fn the_layout_follows_from_the_shape_where_it_can() {
        let open = Asking::default();
        for (axes, layout, guessed) in [
            ([3, 32, 32], Layout::Nchw, false),
            ([32, 32, 3], Layout::Nhwc, false),
            ([28, 28, 1], Layout::Nhwc, false),
            ([3, 0, 0], Layout::Nchw, false),
            ([0, 0, 3], Layout::Nhwc, false),
            ([3, 3, 3], Layout::Nchw, true),
            ([0, 0, 0], Layout::Nchw, true),
            ([1, 3, 3], Layout::Nchw, false),
            ([1, 1, 3], Layout::Nhwc, false),
        ] {
            let (found, guesses) = of(&open, axes);
            assert_eq!((found.layout, guesses.contains(&Guess::Layout)), (layout, guessed), "{axes:?}");
        }
    }

    #[test]
    fn only_what_nobody_says_is_a_guess() {
        let all = Asking {
            white: Some(White::Full),
            channels: Some(ChannelOrder::Bgr),
            mean: Some(vec![104.0, 117.0, 123.0]),
            ..Asking::default()
        };
        assert_eq!(of(&all, [3, 32, 32]).1, []);
        let (found, guesses) = of(&Asking { white: None, ..all }, [3, 32, 32]);
        assert_eq!((found.white, guesses), (White::Full, vec![Guess::White]), "a mean of bytes");
        let own = Stated { normalisation: Some((vec![0.5; 3], vec![0.25; 3])), ..stated([3, 8, 8]) };
        let (found, guesses) = Encoding::of(&Asking::default(), &own).expect("fine");
        assert_eq!((found.mean, guesses), (vec![0.5; 3], vec![]));
        let (_, guesses) = of(&Asking::default(), [1, 28, 28]);
        assert_eq!(guesses, [Guess::White, Guess::Normalisation]);
    }

    #[test]
    fn contradictions_are_told() {
        let refused = |asking: Asking, axes| Encoding::of(&asking, &stated(axes)).expect_err("contradiction");
        let open = Asking::default;
        assert!(refused(open(), [3, 48, 192]).contains("square images, found 48×192"));
        assert!(refused(open(), [4, 32, 32]).contains("1 or 3 channels"));
        assert!(refused(Asking { side: Some(8), ..open() }, [3, 32, 32]).contains("side 8"));
        assert!(
            refused(Asking { mean: Some(vec![0.0; 2]), ..open() }, [3, 32, 32])
                .contains("expected 3 numbers")
        );
        assert!(refused(Asking { std: Some(vec![0.0]), ..open() }, [3, 32, 32]).contains("positive"));
        let nhwc = Asking { layout: Some(Layout::Nhwc), ..open() };
        assert!(refused(nhwc, [3, 32, 32]).contains("read as NHWC"));
    }

    #[test]
    fn images_are_encoded_as_the_victim_takes_them() {
        // Two pixels side by side, red and blue.
        let pixels = [255, 0, 0, 0, 0, 51];
        let encoded = |asking: Asking| {
            let mut out = Vec::new();
            of(&asking, [0, 0, 0]).0.encode(&pixels, &mut out);
            out
        };
        let asking = Asking { layout: Some(Layout::Nchw), white: Some(White::One), ..Asking::default() };
        assert_eq!(encoded(asking.clone()), [1.0, 0.0, 0.0, 0.0, 0.0, 0.2]);
        let bgr = Asking {
            layout: Some(Layout::Nhwc),
            white: Some(White::Full),
            channels: Some(ChannelOrder::Bgr),
            mean: Some(vec![1.0, 2.0, 3.0]),
            std: Some(vec![2.0]),
            ..asking
        };
        assert_eq!(encoded(bgr), [-0.5, -1.0, 126.0, 25.0, -1.0, -1.5]);
    }
}
