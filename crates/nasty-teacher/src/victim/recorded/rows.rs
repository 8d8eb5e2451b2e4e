//! Which row of a table an image has, and what bounds a table.

use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Bytes of the largest array that is read: 2 GiB.
pub(super) const MOST_BYTES: u64 = 2 << 30;
/// Probabilities may be above 1 by rounding.
pub(super) const ABOVE_ONE: f32 = 1e-4;

/// The row of an image.
#[derive(Debug)]
pub(super) enum Rows {
    ByContent(HashMap<[u8; 32], usize>),
    /// By the place in a set, which must be named.
    ByPlace {
        rows: HashMap<usize, usize>,
        set: Option<String>,
    },
}

/// What an image is known by: the SHA-256 of its pixels as they are shown, 8 bits a channel, `[height, width, channels]`
/// (`hashlib.sha256(image.tobytes())` of a numpy array of that shape).
pub fn content_hash(pixels: &[u8]) -> [u8; 32] {
    Sha256::digest(pixels).into()
}
