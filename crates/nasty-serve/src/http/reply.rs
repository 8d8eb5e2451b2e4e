//! Replies as HTTP has them.

use std::io::Write;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, Response, StatusCode};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::Value;

use crate::memory::Held;
use crate::protocol::{Refusal, Reply};

/// How many bytes of a body are JSON.
pub(super) const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Below this, compression makes bodies longer or hardly shorter.
const WORTH_COMPRESSING: usize = 1024;

/// An answer's bytes, and the memory that they hold until the client has them.
struct Outgoing {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Outgoing {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn response(status: u16, media: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// JSON with `status`.
pub(super) fn json(status: u16, value: &Value) -> Response<Body> {
    response(status, "application/json", value.to_string().into_bytes())
}

/// Plain text as Prometheus reads it.
pub(super) fn text(text: String) -> Response<Body> {
    response(200, "text/plain; version=0.0.4; charset=utf-8", text.into_bytes())
}

/// `{"error": "…"}` with its status, and the headers that belong to it.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    let mut response = response(refusal.status, "application/json", refusal.body());
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if refusal.status == 401 {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// An answer to a client that sent `headers`; `held` is the memory that its body takes.
pub(super) fn answer(headers: &HeaderMap, reply: Reply, held: Held) -> Response<Body> {
    let Reply { body, json_length } = reply;
    let coding = (body.len() >= WORTH_COMPRESSING).then(|| accepted(headers)).flatten();
    let body = match coding {
        Some(coding) => coding.compress(&body),
        None => body,
    };
    let media = if json_length.is_some() { "application/octet-stream" } else { "application/json" };
    let body = Bytes::from_owner(Outgoing { bytes: body, _held: held });
    let mut response = response(200, media, body);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    if let Some(length) = json_length {
        headers.insert(JSON_LENGTH, length.into());
    }
    response
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    fn compress(self, bytes: &[u8]) -> Vec<u8> {
        let all = "writing to memory does not fail";
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).expect(all);
                encoder.finish().expect(all)
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).expect(all);
                encoder.finish().expect(all)
            }
        }
    }
}

/// The coding that the client prefers of those known here, if it asks for one (RFC 9110, section 12.5.3).
fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let mut best: Option<(f32, Coding)> = None;
    for choice in
        headers.get_all(ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','))
    {
        let mut parts = choice.split(';').map(str::trim);
        let coding = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Coding::Gzip,
            "deflate" => Coding::Deflate,
            _ => continue,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
        if let Some(weight) = weight.filter(|w| *w > 0.0 && best.is_none_or(|(most, _)| *w > most)) {
            best = Some((weight, coding));
        }
    }
    best.map(|(_, coding)| coding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    #[test]
    fn the_client_chooses_the_coding() {
        let chosen = |text: &'static str| {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(text))]);
            accepted(&headers)
        };
        assert_eq!(chosen("gzip, deflate, br"), Some(Coding::Gzip));
        assert_eq!(chosen("br;q=1, gzip;q=0.1, deflate;q=0.5"), Some(Coding::Deflate));
        assert_eq!(chosen("gzip;q=0, identity"), None);
        assert_eq!(chosen("*"), None);
        assert_eq!(accepted(&HeaderMap::new()), None);
    }

    #[test]
    fn long_answers_are_compressed_for_those_who_ask() {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
        let long = Reply { body: vec![b'a'; 5000], json_length: Some(4000) };
        let memory = Memory::new(10_000);
        let mut held = memory.request();
        held.grow(5000).expect("room");
        let response = answer(&headers, long.clone(), held);
        assert_eq!(memory.held(), 5000, "until the client has it");
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(response.headers()[JSON_LENGTH], "4000");
        drop(response);
        assert_eq!(memory.held(), 0);
        let answer = |headers: &HeaderMap, reply| answer(headers, reply, memory.request());
        assert!(!answer(&HeaderMap::new(), long).headers().contains_key(CONTENT_ENCODING));
        let short = Reply { body: b"{}".to_vec(), json_length: None };
        assert!(!answer(&headers, short).headers().contains_key(CONTENT_ENCODING));
    }
}
