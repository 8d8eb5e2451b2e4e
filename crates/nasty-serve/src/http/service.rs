//! The server's state, and the way of a request through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Response};
use nasty_teacher::victim::argmax;

use super::body::{self, Limits};
use super::reply::{self, JSON_LENGTH};
use crate::accounts::Accounts;
use crate::audit_log::{self, AuditLog, Entry};
use crate::batching::Batcher;
use crate::counters::{Counters, Gauges};
use crate::keys::Key;
use crate::memory::{Held, Memory};
use crate::model::{Answered, Fault, Model};
use crate::protocol::{Inference, Refusal, Reply, memory_for, parse, reply as render};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// draft-ietf-httpapi-ratelimit-headers.
const RATE_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE: HeaderName = HeaderName::from_static("ratelimit");

/// Bodies up to this many bytes are read where they arrive, larger ones on a thread of their own.
const QUICKLY_READ: usize = 64 << 10;

/// All that requests share.
pub(crate) struct Service {
    pub(crate) model: Arc<dyn Model>,
    pub(crate) batcher: Batcher,
    /// Without keys, everyone may ask.
    pub(crate) accounts: Option<Arc<Accounts>>,
    pub(crate) log: Option<AuditLog>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) ready: AtomicBool,
    pub(crate) connections: Arc<tokio::sync::Semaphore>,
    pub(crate) most_connections: usize,
    pub(crate) most_images: usize,
    pub(crate) most_bytes: usize,
    pub(crate) body_time: Duration,
}

impl Service {
    /// Who asks: a key's owner, or anyone where there are no keys.
    pub(super) fn identify(&self, headers: &HeaderMap) -> Result<Option<Arc<Key>>, Refusal> {
        let Some(accounts) = &self.accounts else { return Ok(None) };
        let bearer = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, secret) = value.to_str().ok()?.trim().split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
        });
        let header = || headers.get(API_KEY).and_then(|value| value.to_str().ok()).map(str::trim);
        let Some(secret) = bearer.or_else(header) else {
            return Err(Refusal::new(
                401,
                "expected an API key: `Authorization: Bearer KEY` or `X-Api-Key: KEY`",
            ));
        };
        match accounts.find(secret) {
            Some(key) => Ok(Some(key)),
            None => Err(Refusal::new(401, "the API key is unknown")),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub(super) fn metrics(&self) -> String {
        let gauges = Gauges {
            ready: self.is_ready(),
            waiting_images: self.batcher.waiting(),
            held_bytes: self.memory.held(),
            connections: self.most_connections - self.connections.available_permits(),
        };
        self.counters.text(&self.model.about().name, &gauges)
    }

    /// Answers an inference request of `key`.
    pub(super) async fn infer(
        self: &Arc<Self>,
        key: Option<&Arc<Key>>,
        headers: &HeaderMap,
        body: Body,
    ) -> Response<Body> {
        let begin = Instant::now();
        let mut images = 0;
        let mut response = match self.answer(key, headers, body).await {
            Ok((answer, held, count)) => {
                images = count;
                reply::answer(headers, answer, held)
            }
            Err(refusal) => reply::refused(&refusal),
        };
        self.counters.request(response.status().as_u16(), images, begin.elapsed());
        if let (Some(key), Some(accounts)) = (key, &self.accounts) {
            tell_limits(response.headers_mut(), key, accounts);
        }
        response
    }

    async fn answer(
        self: &Arc<Self>,
        key: Option<&Arc<Key>>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Reply, Held, usize), Refusal> {
        let mut held = self.memory.request();
        let limits = Limits { bytes: self.most_bytes, time: self.body_time };
        let body = body::read(headers, body, limits, &mut held).await?;
        let (request, mut held) = self.understand(headers, body, limits, held).await?;
        let Inference { id, images, count, wanted } = request;
        held.shrink(images.len() * size_of::<f32>());

        let mut reservation = match (key, &self.accounts) {
            (Some(key), Some(accounts)) => Some(accounts.reserve(key, count as u64, Instant::now())?),
            _ => None,
        };
        let answers = self
            .batcher
            .submit(images, count, held)
            .map_err(|_| Refusal::unavailable("too many images wait already", 1))?;
        if let Some(reservation) = &mut reservation {
            reservation.computed();
        }
        let (answered, mut held) = answers
            .await
            .map_err(|_| Refusal::new(500, "the model stopped"))?
            .map_err(|fault| refusal(&fault))?;
        self.check_finite(&answered)?;
        let reply = render(self.model.about(), id.as_deref(), &answered.rows, wanted);
        held.shrink(0);
        held.grow(reply.body.len())?;
        if let Some(reservation) = reservation {
            reservation.charge().await?;
        }
        self.log(key, id.as_deref(), &answered)?;
        Ok((reply, held, count))
    }

    /// Decompresses and parses a body.
    async fn understand(
        self: &Arc<Self>,
        headers: &HeaderMap,
        body: Vec<u8>,
        limits: Limits,
        mut held: Held,
    ) -> Result<(Inference, Held), Refusal> {
        let json_length = json_length(headers)?;
        // A compressed body may be a long one.
        let quick = body.len() <= QUICKLY_READ && !headers.contains_key(CONTENT_ENCODING);
        let (service, headers) = (self.clone(), headers.clone());
        let work = move || {
            let body = body::decoded(&headers, body, limits, &mut held)?;
            let about = service.model.about();
            held.grow(memory_for(&body, json_length, about)?)?;
            let mut request = parse(&body, json_length, about, service.most_images)?;
            request.images.shrink_to_fit();
            Ok((request, held))
        };
        if quick {
            return work();
        }
        let bug = |_| Refusal::new(500, "a bug, reported in the server's messages");
        tokio::task::spawn_blocking(work).await.map_err(bug)?
    }

    /// Images can be so far from any picture that a network's sums overflow.
    fn check_finite(&self, answered: &Answered) -> Result<(), Refusal> {
        let rows = answered.rows.chunks_exact(self.model.about().classes());
        match rows.enumerate().find(|(_, row)| row.iter().any(|number| !number.is_finite())) {
            None => Ok(()),
            Some((at, _)) => Err(Refusal::bad(format!(
                "the answer to image {at} is not finite: its numbers are too large for the model"
            ))),
        }
    }

    fn log(&self, key: Option<&Arc<Key>>, id: Option<&str>, answered: &Answered) -> Result<(), Refusal> {
        let Some(log) = &self.log else { return Ok(()) };
        let about = self.model.about();
        let left =
            key.zip(self.accounts.as_ref()).and_then(|(key, all)| all.left(key, Instant::now()).budget);
        let entry = Entry {
            time: audit_log::now(),
            key: key.map(|key| key.name.as_str()),
            id,
            images: answered.images.len(),
            sha256: answered.images.iter().map(|image| hexadecimal(&image.0)).collect(),
            top1: answered.rows.chunks_exact(about.classes()).map(argmax).collect(),
            defence: &about.defence,
            revealed: &about.reveals,
            budget_left: left,
        };
        log.write(&entry).map_err(|e| {
            tracing::error!("{}: {e}; nothing is answered that cannot be logged", log.path().display());
            Refusal::unavailable("the answer cannot be logged", 60)
        })
    }
}

/// What the client is told of a model that cannot answer.
fn refusal(fault: &Fault) -> Refusal {
    let status = match fault {
        Fault::Model(_) => 500,
        Fault::Gateway => 502,
        Fault::Busy { .. } | Fault::Restarting { .. } => 503,
        Fault::Slow => 504,
    };
    let refusal = Refusal::new(status, fault.to_string());
    match fault {
        Fault::Busy { retry_after: Some(seconds) } | Fault::Restarting { retry_after: seconds } => {
            refusal.after(*seconds)
        }
        _ => refusal,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value of `Inference-Header-Content-Length`.
fn json_length(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    let Some(value) = headers.get(JSON_LENGTH) else { return Ok(None) };
    match value.to_str().ok().and_then(|text| text.trim().parse().ok()) {
        Some(length) => Ok(Some(length)),
        None => {
            Err(Refusal::bad(format!("Inference-Header-Content-Length: expected a number, found {value:?}")))
        }
    }
}

/// Tells what the key may ask: its rate, and its budget if it has one.
fn tell_limits(headers: &mut HeaderMap, key: &Key, accounts: &Accounts) {
    let left = accounts.left(key, Instant::now());
    let (mut policies, mut lefts) = (Vec::new(), Vec::new());
    if let (Some(rate), Some(left)) = (key.images_per_minute, left.rate) {
        policies.push(format!("\"rate\";q={rate};w=60"));
        lefts.push(format!("\"rate\";r={left}"));
    }
    if let (Some(budget), Some(left)) = (key.budget, left.budget) {
        policies.push(format!("\"budget\";q={budget}"));
        lefts.push(format!("\"budget\";r={left}"));
    }
    for (name, items) in [(RATE_POLICY, policies), (RATE, lefts)] {
        if let Ok(value) = HeaderValue::try_from(items.join(", ")).map_err(drop)
            && !items.is_empty()
        {
            headers.insert(name, value);
        }
    }
}
