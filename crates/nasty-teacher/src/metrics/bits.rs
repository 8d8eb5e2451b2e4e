//! One bit for each image, as text.

use serde::{Deserialize, Serialize};

/// Whether each of some images was right, written as `IMAGES:HEX`: four images a hexadecimal digit, the first image in the
/// highest bit, and zeros after the last image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(test, schemars(with = "String"))]
pub struct Bits(Vec<bool>);

impl Bits {
    /// The images, in their order.
    pub fn as_slice(&self) -> &[bool] {
        &self.0
    }

    /// Images that are right.
    pub fn count(&self) -> usize {
        self.0.iter().filter(|right| **right).count()
    }
}

impl From<Vec<bool>> for Bits {
    fn from(right: Vec<bool>) -> Self {
        Self(right)
    }
}

impl From<Bits> for String {
    fn from(Bits(right): Bits) -> Self {
        let digit = |four: &[bool]| {
            let value = (0..4).fold(0, |value, i| 2 * value + u32::from(four.get(i) == Some(&true)));
            char::from_digit(value, 16).expect("four bits are a digit")
        };
        let digits: String = right.chunks(4).map(digit).collect();
        format!("{}:{digits}", right.len())
    }
}

impl TryFrom<String> for Bits {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |found: &str| format!("expected `IMAGES:HEX`, four images a digit, found {found}");
        let (images, digits) = text.split_once(':').ok_or_else(|| wrong("no `:`"))?;
        let images: usize = images.parse().map_err(|_| wrong(&format!("`{images}` images")))?;
        if digits.len() != images.div_ceil(4) {
            return Err(wrong(&format!("{} digits for {images} images", digits.len())));
        }
        let mut right = Vec::with_capacity(4 * digits.len());
        for c in digits.chars() {
            let value = c.to_digit(16).ok_or_else(|| wrong(&format!("`{c}`")))?;
            right.extend((0..4).map(|i| value & (8 >> i) != 0));
        }
        if right[images..].contains(&true) {
            return Err(wrong("ones after the last image"));
        }
        right.truncate(images);
        Ok(Self(right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_by_hand_and_what_is_refused() {
        let bits = Bits::from(vec![true, false, true, true, true, false]);
        assert_eq!(String::from(bits.clone()), "6:b8");
        assert_eq!((bits.count(), String::from(Bits::default())), (4, "0:".to_owned()));
        for (text, word) in [
            ("b8", "no `:`"),
            ("x:b8", "`x` images"),
            ("6:b", "1 digits"),
            ("6:bz", "`z`"),
            ("6:b9", "after the last"),
            ("1:é", "2 digits"),
            ("18446744073709551615:0", "1 digits"),
        ] {
            let error = Bits::try_from(text.to_owned()).expect_err(text);
            assert!(error.contains(word), "{error}");
        }
    }

    proptest! {
        #[test]
        fn bits_survive_being_written(right in prop::collection::vec(any::<bool>(), 0..40)) {
            let bits = Bits::from(right);
            let text = serde_json::to_string(&bits).expect("text");
            prop_assert_eq!(serde_json::from_str::<Bits>(&text).expect("bits"), bits);
        }
    }
}
