//! Why a request is not answered.

const LONGEST_MESSAGE: usize = 500;

/// A request that is refused, as the client is told: a status of HTTP and a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The status: 4xx for the client's fault, 500 for the server's own, 502 to 504 for a server that cannot answer now, or that
    /// has the model behind another one which does not answer.
    pub status: u16,
    /// What was expected, and what was found.
    pub message: String,
    /// Seconds after which the same request may succeed.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal with `status`. A long message is cut: it may repeat what the client sent.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: shortened(&message.into(), LONGEST_MESSAGE), retry_after: None }
    }

    /// 400: the request itself is wrong.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    /// 413: the request is larger than the server takes.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, message)
    }

    /// 503: the server cannot answer now; the same request may succeed in `seconds`.
    pub fn unavailable(message: impl Into<String>, seconds: u64) -> Self {
        Self::new(503, message).after(seconds)
    }

    /// The same refusal, which says when to come again.
    pub fn after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The body that the client gets: `{"error": "…"}`.
    pub fn body(&self) -> Vec<u8> {
        serde_json::json!({ "error": self.message }).to_string().into_bytes()
    }
}

/// The first `most` characters of a client's text, as a message repeats it.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
