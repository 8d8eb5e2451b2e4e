//! The body of a request, read with its size, its time and the memory of all requests bounded.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;

use crate::memory::Held;
use crate::protocol::Refusal;

/// What a body may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes, before and after decompression.
    pub(super) bytes: usize,
    /// From the headers to the last byte.
    pub(super) time: Duration,
}

/// Reads a body as it was sent.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    limits: Limits,
    held: &mut Held,
) -> Result<Vec<u8>, Refusal> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(announced) = announced.filter(|length| *length > limits.bytes as u64) {
        return Err(too_large(&format!("{announced} bytes"), limits));
    }
    let late = |_| {
        let message = format!("the body did not arrive within {} seconds", limits.time.as_secs());
        Refusal::new(408, message)
    };
    let most = announced.map_or(limits.bytes, |announced| announced as usize);
    tokio::time::timeout(limits.time, collect(body, limits, most, held)).await.map_err(late)?
}

/// A body of at most `most` bytes; if it has more, one of at most `limits.bytes`.
async fn collect(mut body: Body, limits: Limits, most: usize, held: &mut Held) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Refusal::bad(format!("the body ended early: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limits.bytes {
            return Err(too_large("more", limits));
        }
        append(&mut bytes, &data, most, held)?;
    }
    Ok(bytes)
}

/// Appends `data`, of which `held` knows: also of the copy that a vector is made of when it grows. It grows up to `most` bytes
/// for as long as they suffice.
fn append(bytes: &mut Vec<u8>, data: &[u8], most: usize, held: &mut Held) -> Result<(), Refusal> {
    let (before, needed) = (bytes.capacity(), bytes.len() + data.len());
    if needed > before {
        let capacity = needed.max((2 * before).min(most));
        held.grow(capacity)?;
        let mut larger = Vec::with_capacity(capacity);
        larger.extend_from_slice(bytes);
        *bytes = larger;
        held.give_back(before);
    }
    bytes.extend_from_slice(data);
    Ok(())
}

fn too_large(found: &str, limits: Limits) -> Refusal {
    Refusal::too_large(format!("expected a body of at most {} bytes, found {found}", limits.bytes))
}

/// A body's contents, decompressed as its headers say.
pub(super) fn decoded(
    headers: &HeaderMap,
    body: Vec<u8>,
    limits: Limits,
    held: &mut Held,
) -> Result<Vec<u8>, Refusal> {
    let encoding = headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim());
    let decoder: Box<dyn Read + '_> = match encoding.map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "identity") => return Ok(body),
        Some("gzip" | "x-gzip") => Box::new(MultiGzDecoder::new(body.as_slice())),
        Some("deflate") => Box::new(ZlibDecoder::new(body.as_slice())),
        Some(other) => {
            return Err(Refusal::new(
                415,
                format!("expected the content encoding gzip or deflate, found `{other}`"),
            ));
        }
    };
    decompressed(decoder, limits, held)
}

fn decompressed(mut decoder: impl Read, limits: Limits, held: &mut Held) -> Result<Vec<u8>, Refusal> {
    const STEP: usize = 64 << 10;
    let mut contents = Vec::new();
    let mut step = vec![0; STEP];
    loop {
        let read = decoder
            .read(&mut step)
            .map_err(|e| Refusal::bad(format!("the body cannot be decompressed: {e}")))?;
        if read == 0 {
            return Ok(contents);
        }
        if contents.len() + read > limits.bytes {
            return Err(too_large("more after decompression", limits));
        }
        append(&mut contents, &step[..read], limits.bytes, held)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use axum::http::HeaderValue;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use std::io::Write;

    const LIMITS: Limits = Limits { bytes: 1000, time: Duration::from_secs(1) };

    fn decode(encoding: Option<&'static str>, body: Vec<u8>) -> Result<Vec<u8>, u16> {
        let mut headers = HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        decoded(&headers, body, LIMITS, &mut Memory::new(2000).request()).map_err(|refusal| refusal.status)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn what_was_compressed_comes_back_or_is_refused() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(b"abc").expect("memory");
        assert_eq!(decode(Some("deflate"), zlib.finish().expect("memory")), Ok(b"abc".to_vec()));
        assert_eq!(decode(Some("GZIP"), gzip(b"abc")), Ok(b"abc".to_vec()));
        assert_eq!(decode(None, b"abc".to_vec()), Ok(b"abc".to_vec()));
        assert_eq!(decode(Some("br"), b"abc".to_vec()), Err(415));
        assert_eq!(decode(Some("gzip"), b"abc".to_vec()), Err(400));
        assert_eq!(decode(Some("gzip"), gzip(b"abc")[..20].to_vec()), Err(400));
        assert_eq!(decode(Some("gzip"), gzip(&[0; 1000])), Ok(vec![0; 1000]));
        let bomb = gzip(&vec![0; 10 << 20]);
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        assert_eq!(decode(Some("gzip"), bomb), Err(413));
    }

    #[test]
    fn all_that_a_body_takes_is_held() {
        let memory = Memory::new(usize::MAX);
        let (mut held, mut bytes) = (memory.request(), Vec::new());
        for (most, capacity) in [(100, 10), (100, 20), (100, 40), (100, 40), (100, 80)] {
            append(&mut bytes, &[7; 10], most, &mut held).expect("room");
            assert_eq!((bytes.capacity(), memory.held()), (capacity, capacity));
        }
        append(&mut bytes, &[7; 40], 95, &mut held).expect("room");
        assert_eq!((bytes.len(), bytes.capacity(), memory.held()), (90, 95, 95));
        append(&mut bytes, &[7; 40], 95, &mut held).expect("room");
        assert_eq!((bytes, memory.held()), (vec![7; 130], 130));
    }

    #[test]
    fn bodies_share_the_memory() {
        let memory = Memory::new(1500);
        let mut other = memory.request();
        other.grow(1000).expect("room");
        let refused =
            decompressed([0u8; 900].as_slice(), LIMITS, &mut memory.request()).map_err(|r| r.status);
        assert_eq!(refused, Err(503));
    }
}
