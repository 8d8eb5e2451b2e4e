//! HTTP requests: bounded answers, time limits, and patience with a server that is busy.

use crate::victim::{HttpSettings, Outage};
use serde_json::Value;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Seconds for an answer, unless said otherwise.
const TIMEOUT: u64 = 60;
/// Tries of a request that was not answered for the server was busy or absent.
const TRIES: u32 = 6;
/// Tries of a first question, which somebody waits for, at most.
const FIRST_TRIES: u32 = 2;
/// Before the second try; doubled before each later one.
const PAUSE: Duration = Duration::from_secs(1);
/// A server that asks to wait longer is given up: answers so far are kept.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// Bytes of an answer that is no row: metadata, errors.
pub(super) const SMALL: u64 = 1 << 20;
/// The header that says where the JSON ends and tensors begin.
pub(super) const JSON_LENGTH: &str = "Inference-Header-Content-Length";

/// A connection to one server.
pub(super) struct Client {
    agent: ureq::Agent,
    headers: Vec<(String, String)>,
    pause: Duration,
    tries: u32,
}

/// A request.
#[derive(Clone, Debug, Default)]
pub(super) struct Message {
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// A successful answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    /// Bytes of the JSON in front of tensors, if that was said.
    pub(super) json_length: Option<usize>,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Trouble {
    /// Nobody answers; `sent` if the request may have been worked on all the same.
    Unavailable { problem: String, sent: bool, outage: Outage },
    /// The server says no.
    Refused { status: u16, problem: String },
}

impl Client {
    /// # Errors
    /// A header whose variable is not set, or a file that has no certificates.
    pub(super) fn new(address: &str, settings: &HttpSettings) -> Result<Self, String> {
        let headers = settings.headers.iter().map(|header| {
            let value = std::env::var(&header.variable).ok().filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| {
                format!(
                    "the header {} comes from the variable {} of the environment, which is not set",
                    header.name, header.variable
                )
            })?;
            if value.bytes().any(|b| !(b' '..=b'~').contains(&b)) {
                return Err(format!("the variable {} holds characters that no header has", header.variable));
            }
            Ok((header.name.clone(), value))
        });
        let headers = headers.collect::<Result<_, String>>()?;
        let timeout = Duration::from_secs(settings.timeout.unwrap_or(TIMEOUT));
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("nasty-teacher/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(timeout.min(Duration::from_secs(20))))
            .timeout_global(Some(timeout))
            // Headers with keys are for this address only.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(64 << 10);
        if let Some(file) = &settings.ca {
            if !address.starts_with("https://") {
                return Err(format!(
                    "{} has certificates, which only an https:// address has",
                    file.display()
                ));
            }
            let roots = RootCerts::new_with_certs(&certificates(file)?);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let host = address.split("://").nth(1).unwrap_or_default();
        if ["127.", "localhost", "[::1]"].iter().any(|here| host.starts_with(here)) {
            config = config.proxy(None);
        }
        let tries = settings.tries.unwrap_or(TRIES);
        Ok(Self { agent: config.build().new_agent(), headers, pause: PAUSE, tries })
    }

    /// The same client, which waits `pause` before it tries again.
    #[cfg(test)]
    pub(super) fn impatient(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// What is at `address`.
    pub(super) fn get(&self, address: &str) -> Result<Reply, Trouble> {
        self.patiently(
            || {
                let request = self
                    .headers
                    .iter()
                    .fold(self.agent.get(address), |r, (name, value)| r.header(name, value));
                request.call()
            },
            SMALL,
            FIRST_TRIES.min(self.tries),
        )
    }

    /// What `address` says to `message`: at most `limit` bytes.
    pub(super) fn post(&self, address: &str, message: &Message, limit: u64) -> Result<Reply, Trouble> {
        self.patiently(
            || {
                let headers = self.headers.iter().chain(&message.headers);
                let request =
                    headers.fold(self.agent.post(address), |r, (name, value)| r.header(name, value));
                request.send(&message.body[..])
            },
            limit,
            self.tries,
        )
    }

    fn patiently(
        &self,
        send: impl Fn() -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        limit: u64,
        most: u32,
    ) -> Result<Reply, Trouble> {
        let mut tries = 0;
        loop {
            let (trouble, asked_to_wait) =
                match send().map_err(unsent).and_then(|response| answer(response, limit)) {
                    Ok(Answer::Reply(reply)) => return Ok(reply),
                    Ok(Answer::Busy(status, wait, problem)) => (Trouble::Refused { status, problem }, wait),
                    Err(trouble @ Trouble::Unavailable { sent: false, .. }) => (trouble, None),
                    Err(trouble) => return Err(trouble),
                };
            tries += 1;
            let wait = asked_to_wait.unwrap_or(self.pause * 2u32.pow(tries - 1));
            if tries >= most || wait > LONGEST_PAUSE {
                return Err(match trouble {
                    Trouble::Refused { status, problem } => {
                        let asked = asked_to_wait
                            .map_or_else(String::new, |w| format!(", and asks to wait {} s", w.as_secs()));
                        Trouble::Unavailable {
                            problem: format!("it answers with status {status}: {problem}{asked}"),
                            sent: false,
                            outage: Outage::Busy { retry_after: asked_to_wait.map(|wait| wait.as_secs()) },
                        }
                    }
                    trouble => trouble,
                });
            }
            std::thread::sleep(wait);
        }
    }
}

enum Answer {
    Reply(Reply),
    Busy(u16, Option<Duration>, String),
}

fn answer(mut response: ureq::http::Response<ureq::Body>, limit: u64) -> Result<Answer, Trouble> {
    let status = response.status().as_u16();
    let header =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let wait = header("Retry-After").and_then(|wait| wait.trim().parse().ok()).map(Duration::from_secs);
    let (length, target) = (header(JSON_LENGTH), header("Location"));
    let limit = if status == 200 { limit } else { SMALL };
    let body = response.body_mut().with_config().limit(limit).read_to_vec();
    if status == 200 {
        let body = body.map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => {
                Trouble::Refused { status, problem: format!("an answer of more than {limit} bytes") }
            }
            error => Trouble::Unavailable { problem: error.to_string(), sent: true, outage: outage(&error) },
        })?;
        let json_length = match length {
            None => None,
            Some(text) => Some(text.trim().parse().map_err(|_| Trouble::Refused {
                status,
                problem: format!("a header {JSON_LENGTH} that is no number"),
            })?),
        };
        return Ok(Answer::Reply(Reply { json_length, body }));
    }
    let mut problem = said(&body.unwrap_or_default());
    if let (300..=399, Some(target)) = (status, target) {
        problem = format!("it redirects to {}; give that address", shown(&target));
    }
    match status {
        429 | 503 => Ok(Answer::Busy(status, wait, problem)),
        502 | 504 => Err(Trouble::Unavailable {
            problem: format!("status {status}: {problem}"),
            sent: true,
            outage: if status == 504 { Outage::Slow } else { Outage::Unreachable },
        }),
        _ => Err(Trouble::Refused { status, problem }),
    }
}

/// The certificates in the file at `path`.
fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let refused = |found: String| format!("{}: expected certificates in PEM: {found}", path.display());
    let text = std::fs::read(path).map_err(|e| refused(e.to_string()))?;
    let mut found = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| refused(e.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(refused("there are none".to_owned())) } else { Ok(found) }
}

/// Why there is no connection to an https server that answers: its certificate, or no TLS at all.
fn untrusted(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once("invalid peer certificate: ") {
        Some((_, "UnknownIssuer")) => {
            "its certificate is signed by an authority that is not known here: --ca FILE gives the \
            authority's certificate, or the server's own"
                .to_owned()
        }
        Some((_, why)) => format!("its certificate is not accepted: {}", shown(why)),
        None => format!("expected TLS, as its address begins with https://: {}", shown(&text)),
    }
}

/// What is known of a request that got no answer.
fn unsent(error: ureq::Error) -> Trouble {
    if let ureq::Error::Io(e) = &error
        && e.kind() == ErrorKind::InvalidData
    {
        return Trouble::Refused { status: 0, problem: untrusted(e) };
    }
    let absent = match &error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
        ureq::Error::Io(e) => e.kind() == ErrorKind::ConnectionRefused,
        ureq::Error::Timeout(which) => matches!(which, ureq::Timeout::Connect | ureq::Timeout::Resolve),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
            return Trouble::Refused { status: 0, problem: error.to_string() };
        }
        _ => false,
    };
    Trouble::Unavailable { problem: error.to_string(), sent: !absent, outage: outage(&error) }
}

fn outage(error: &ureq::Error) -> Outage {
    let slow = match error {
        ureq::Error::Timeout(_) => true,
        ureq::Error::Io(e) => matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock),
        _ => false,
    };
    if slow { Outage::Slow } else { Outage::Unreachable }
}

/// The message in an error's body: `error` or `detail`, or else the text.
fn said(body: &[u8]) -> String {
    let json = serde_json::from_slice::<Value>(body).ok();
    let message = json.as_ref().and_then(|json| {
        let error = json.get("error").or_else(|| json.get("detail"))?;
        let text = error.get("message").unwrap_or(error);
        Some(text.as_str().map_or_else(|| text.to_string(), str::to_owned))
    });
    shown(&message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()))
}

/// Somebody else's text, short and without control characters.
fn shown(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    let clean = clean.trim();
    if clean.is_empty() { "no reason given".to_owned() } else { clean.to_owned() }
}
