//! The elements of a tensor as JSON: numbers, flat or in nested lists.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// Tensors of the protocol have fewer dimensions.
const MOST_DIMENSIONS: usize = 8;

/// Numbers in row-major order. They go straight into a vector, whatever their nesting: no tree of JSON values is made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Elements {
    /// The numbers, rounded to f32.
    pub(super) values: Vec<f32>,
    /// The lengths of the nested lists, the outermost first.
    pub(super) shape: Vec<usize>,
}

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut gathered = Gathered::default();
        Item { gathered: &mut gathered, depth: 0 }.deserialize(deserializer)?;
        if gathered.depth == Some(0) {
            return Err(D::Error::custom("data: expected a list of numbers, found a number"));
        }
        let shape = gathered.lengths.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Self { values: gathered.values, shape })
    }
}

/// What was read so far.
#[derive(Default)]
struct Gathered {
    values: Vec<f32>,
    /// The length of the lists of each depth, once one of them was read to its end.
    lengths: Vec<Option<usize>>,
    /// The depth of the numbers, once there was one.
    depth: Option<usize>,
}

/// A number, or a list of items.
struct Item<'a> {
    gathered: &'a mut Gathered,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Item<'_> {
    fn number<E: Error>(self, value: f64) -> Result<(), E> {
        let Self { gathered, depth } = self;
        if *gathered.depth.get_or_insert(depth) != depth {
            return Err(E::custom("data: numbers and lists side by side"));
        }
        gathered.values.push(value as f32);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, flat or in nested lists")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.number(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(value as f64)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { gathered, depth } = self;
        if depth == MOST_DIMENSIONS || gathered.depth.is_some_and(|of_numbers| of_numbers <= depth) {
            return Err(A::Error::custom("data: numbers and lists side by side, or lists nested too deeply"));
        }
        if gathered.lengths.len() == depth {
            gathered.lengths.push(None);
        }
        let mut length = 0;
        while items.next_element_seed(Item { gathered, depth: depth + 1 })?.is_some() {
            length += 1;
        }
        if *gathered.lengths[depth].get_or_insert(length) != length {
            return Err(A::Error::custom("data: lists side by side differ in length"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Elements, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn flat_and_nested_lists_give_the_same_numbers() {
        let flat = read("[1, 2, 3, 4.5]").expect("flat");
        let nested = read("[[1, 2], [3, 4.5]]").expect("nested");
        assert_eq!((flat.values.clone(), flat.shape), (vec![1.0, 2.0, 3.0, 4.5], vec![4]));
        assert_eq!((nested.values, nested.shape), (flat.values, vec![2, 2]));
    }

    #[test]
    fn what_is_no_tensor_is_refused() {
        for text in
            ["[[1, 2], [3]]", "[1, [2]]", "[[1], 2]", "7", "\"x\"", "[true]", "[\"a\"]", "[null]", "{}"]
        {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&format!("{}1{}", "[".repeat(9), "]".repeat(9))).is_err(), "too deep");
        assert!(read("[[], [1]]").is_err());
        assert_eq!(read("[[], []]").expect("empty").shape, [2, 0]);
    }
}
