//! How a picture of any size becomes a square.

use std::fmt;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::DataError;

/// The largest side of an image.
pub const LARGEST_SIDE: usize = 512;

/// The shorter side of a picture is resized to `shorter` pixels (torchvision's `Resize`), and its central square of `side`
/// pixels is taken (`CenterCrop`). As text and in recipes: `224` where both are equal, else `256/224`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Framing {
    shorter: usize,
    side: usize,
}

impl Framing {
    /// The largest central square, resized to `side` × `side`.
    pub fn square(side: usize) -> Self {
        Self { shorter: side, side }
    }

    /// The central square of `side` pixels of a picture whose shorter side has `shorter`.
    ///
    /// # Errors
    /// [`DataError::Impossible`] for a side of 0 or above [`LARGEST_SIDE`], or one that is larger than the picture.
    pub fn new(shorter: usize, side: usize) -> Result<Self, DataError> {
        let framing = Self { shorter, side };
        framing.check()?;
        Ok(framing)
    }

    /// Checks that pictures can become such squares.
    ///
    /// # Errors
    /// As [`Framing::new`].
    pub fn check(&self) -> Result<(), DataError> {
        let Self { shorter, side } = *self;
        let impossible = |what: String| {
            let help = format!(
                "a side is a number of pixels from 1 to {LARGEST_SIDE}, such as 224; 256/224 resizes the shorter side \
                 to 256 and takes the central 224×224"
            );
            Err(DataError::Impossible { what, help })
        };
        if side == 0 || side > LARGEST_SIDE {
            return impossible(format!("images of side {side}"));
        }
        if shorter < side {
            return impossible(format!("a central square of {side} pixels in pictures of {shorter}"));
        }
        if shorter > 4 * side {
            return impossible(format!("pictures resized to {shorter} pixels for images of {side}"));
        }
        Ok(())
    }

    /// Rows and columns of the images.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Pixels of a picture's shorter side before the square is taken.
    pub fn shorter(&self) -> usize {
        self.shorter
    }

    /// Width and height of the resized picture, as torchvision computes them.
    pub(super) fn resized(&self, width: usize, height: usize) -> (usize, usize) {
        let longer = |long: usize, short: usize| (self.shorter as f64 * long as f64 / short as f64) as usize;
        if width <= height {
            (self.shorter, longer(height, width))
        } else {
            (longer(width, height), self.shorter)
        }
    }

    /// What is done to a picture, in words.
    pub fn in_words(&self) -> String {
        let Self { shorter, side } = self;
        if shorter == side {
            return format!("the largest central square of each picture, resized to {side}×{side}");
        }
        format!("each picture's shorter side resized to {shorter}, its central {side}×{side} taken")
    }
}

/// Where the central `crop` of `length` pixels begins: half the rest, rounded half to even, as in torchvision.
pub(super) fn centred(length: usize, crop: usize) -> usize {
    ((length - crop) as f64 / 2.0).round_ties_even() as usize
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shorter, side } = self;
        if shorter == side { side.fmt(f) } else { write!(f, "{shorter}/{side}") }
    }
}

impl FromStr for Framing {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let number = |text: &str| {
            text.trim().parse::<usize>().map_err(|_| DataError::Impossible {
                what: format!("`{text}` is no number of pixels"),
                help: "give a side, such as 224, or the shorter side of the resized picture and the side: 256/224".into(),
            })
        };
        match text.split_once('/') {
            Some((shorter, side)) => Self::new(number(shorter)?, number(side)?),
            None => {
                let side = number(text)?;
                Self::new(side, side)
            }
        }
    }
}

impl Serialize for Framing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.shorter == self.side {
            return serializer.serialize_u64(self.side as u64);
        }
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Framing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number of pixels such as 224, or such as \"256/224\"")]
        enum Written {
            Side(usize),
            Both(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Side(side) => Self::new(side, side),
            Written::Both(text) => text.parse(),
        }
        .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framing_survives_text_and_json() {
        for (text, json) in [("224", "224"), ("256/224", "\"256/224\"")] {
            let framing: Framing = text.parse().unwrap();
            assert_eq!((framing.to_string().as_str(), framing.side()), (text, 224));
            assert_eq!(serde_json::to_string(&framing).unwrap(), json);
            assert_eq!(serde_json::from_str::<Framing>(json).unwrap(), framing);
        }
        for (text, part) in [
            ("0", "images of side 0"),
            ("513", "side 513"),
            ("200/224", "224 pixels in pictures of 200"),
            ("100/10", "resized to 100"),
            ("big", "`big` is no number"),
            ("1/2/3", "`2/3` is no number"),
        ] {
            let error = text.parse::<Framing>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let error = serde_json::from_str::<Framing>("true").unwrap_err().to_string();
        assert!(error.contains("a number of pixels such as 224"), "{error}");
    }

    #[test]
    fn sizes_are_torchvisions() {
        let framing: Framing = "256/224".parse().unwrap();
        // torchvision.transforms.v2.Resize(256) of pictures of these sizes.
        for (from, to) in [((500, 375), (341, 256)), ((375, 500), (256, 341)), ((300, 300), (256, 256))] {
            assert_eq!(framing.resized(from.0, from.1), to);
        }
        assert_eq!(["224", "225", "226", "227"].map(|l| centred(l.parse().unwrap(), 224)), [0, 0, 1, 2]);
    }
}
