//! The batch of images in a file of CIFAR's Python version: a pickled dictionary with labels and an array of bytes.
//!
//! Protocols 0 to 5 are read, written by Python 2 or 3; the labels are a list or a numpy array.

use super::error::DataError;
use crate::pickle::{Object, Pickled, Value, parse};

/// What a pickled batch of images holds.
#[derive(Debug, PartialEq)]
pub(super) struct PickledBatch {
    /// What is under the wanted key.
    pub(super) labels: Vec<i64>,
    /// `[labels, row]`, row-major.
    pub(super) data: Vec<u8>,
}

/// The longest file to expect for `count` rows of `row` bytes: protocol 0 escapes a byte with up to 4.
pub(super) fn size_limit(count: usize, row: usize) -> u64 {
    (count * (4 * row + 256) + (1 << 20)) as u64
}

/// Reads the dict in `bytes`: `count` integers under `key` and a uint8 array `[count, row]` under `data`.
pub(super) fn read(
    label: &str,
    bytes: &[u8],
    key: &str,
    count: usize,
    row: usize,
) -> Result<PickledBatch, DataError> {
    // A few opcodes write each label and each file name; far more of them are no batch of images.
    let batch = parse(bytes, 32 * count + 4096).and_then(|pickled| batch(&pickled, key, count, row));
    batch.map_err(|found| {
        let expected = format!("a pickled dict with {count} `{key}` and {count}×{row} bytes of `data`");
        DataError::malformed(label, expected, found)
    })
}

fn batch(pickled: &Pickled<'_>, key: &str, count: usize, row: usize) -> Result<PickledBatch, String> {
    let entries = pickled.entries(pickled.root).ok_or("no dict")?;
    let get = |key: &str| {
        let is_it = |name: Value<'_>| pickled.bytes(name).is_some_and(|name| *name == *key.as_bytes());
        let found = entries.iter().rev().find(|(name, _)| is_it(*name));
        found.map(|(_, value)| *value).ok_or_else(|| format!("no `{key}`"))
    };
    let labels = labels(pickled, get(key)?, key)?;
    if labels.len() != count {
        return Err(format!("{} `{key}`", labels.len()));
    }
    let data = get("data")?;
    let array = pickled.array(data).ok_or_else(|| match pickled.call(data) {
        Some((function, _)) => format!("`data` that is {function}, no numpy array; nothing was executed"),
        None => "`data` that is no numpy array".to_owned(),
    })??;
    // Some write the three planes as axes of their own.
    let shapes = [vec![count, row], vec![count, 3, 32, 32]];
    if array.shape.iter().product::<usize>() != count * row || !shapes.contains(&array.shape) {
        return Err(format!("`data` of shape {:?}", array.shape));
    }
    let data = array.unsigned_bytes().ok_or("an array of other numbers than bytes")?;
    Ok(PickledBatch { labels, data })
}

fn labels(pickled: &Pickled<'_>, value: Value<'_>, key: &str) -> Result<Vec<i64>, String> {
    let not_integers = || format!("`{key}` that are no integers");
    match pickled.object(value) {
        Some(Object::List(items) | Object::Tuple(items)) => {
            let labels: Option<Vec<i64>> = items.iter().map(|label| pickled.integer(*label)).collect();
            labels.ok_or_else(not_integers)
        }
        _ => match pickled.array(value) {
            Some(array) => array?.integers().ok_or_else(not_integers),
            None => Err(format!("`{key}` that is no list")),
        },
    }
}

#[cfg(test)]
pub(super) mod tests;
