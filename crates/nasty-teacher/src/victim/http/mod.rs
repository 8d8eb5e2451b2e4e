//! A classifier behind HTTP as a victim.
//!
//! | address | spoken |
//! |---|---|
//! | `http://host:port/v2/models/NAME` (`/versions/V`) | the Open Inference Protocol: KServe, Triton, MLServer, `nasty serve` |
//! | `http://host:port/v1/models/NAME:predict` | KServe's first protocol, TensorFlow Serving's |
//! | any, with a template of requests | whatever the template says |
//!
//! Opening a victim asks it nothing that it would count: what its description does not say must be said or is refused. Requests
//! that were not answered because the server is busy or absent are sent again; one that may have been answered is not, because it
//! may have been counted: whoever asks decides that, and counts it again.

mod client;
mod data;
mod inference;
mod predict;
mod template;
#[cfg(test)]
mod tests;

use super::asking::{Encoding, Stated};
use super::{Answers, Asking, Front, Guess, HttpSettings, Interface, Request, Scale, Victim, VictimError};
use client::{Client, Trouble};
use inference::Inference;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use template::{Shown, Template};

/// Images a request, unless said otherwise.
const BATCH: usize = 16;
/// Requests at once, unless said otherwise.
const REQUESTS: usize = 4;
const MOST_BATCH: usize = 256;
const MOST_REQUESTS: usize = 64;
const MOST_CLASSES: usize = 65_535;

/// A classifier behind HTTP.
pub struct Http {
    front: Front,
    address: String,
    client: Client,
    dialect: Dialect,
    encoding: Encoding,
    batch: usize,
    requests: usize,
    guesses: Vec<Guess>,
    notes: Vec<String>,
}

/// The rows of a request, once they are there.
type Slot = Option<Result<Vec<f32>, Trouble>>;

enum Dialect {
    Inference(Inference),
    Predict,
    Template(Template),
}

/// What a server says about its model.
#[derive(Default)]
struct Said {
    stated: Stated,
    scale: Option<Scale>,
    classes: Option<usize>,
    labels: Option<Vec<String>>,
    /// Names and versions: part of the identity.
    model: String,
}

impl Http {
    /// The classifier at `address`, spoken to as `settings` say and asked as `asking` says. Its answers are given out as they are.
    ///
    /// # Errors
    /// [`VictimError::Unavailable`] if nobody answers; [`VictimError::Endpoint`] if it is not a classifier of square images, or
    /// if something must be said of it that it does not say itself.
    pub fn open(address: &str, asking: &Asking, settings: &HttpSettings) -> Result<Self, VictimError> {
        let address = address.trim_end_matches('/');
        let address = address.strip_suffix("/infer").unwrap_or(address).to_owned();
        let fault = |problem: String| VictimError::Endpoint { address: address.clone(), problem };
        if address.split("://").nth(1).unwrap_or_default().split('/').next().unwrap_or_default().contains('@')
        {
            return Err(VictimError::Endpoint {
                address: "the address".to_owned(),
                problem: "it has a name or password in it, which would be kept in stores and reports; give a header from the environment".to_owned(),
            });
        }
        let (batch, requests) = (settings.batch.unwrap_or(BATCH), settings.requests.unwrap_or(REQUESTS));
        if !(1..=MOST_BATCH).contains(&batch) || !(1..=MOST_REQUESTS).contains(&requests) {
            return Err(fault(format!(
                "expected 1 to {MOST_BATCH} images a request and 1 to {MOST_REQUESTS} requests at once, found {batch} and {requests}"
            )));
        }
        let client = Client::new(&address, settings).map_err(fault)?;
        let (dialect, said) =
            dialect(&address, settings, &client).map_err(|trouble| Self::trouble(&address, trouble))?;
        let (encoding, mut guesses) = Encoding::of(asking, &said.stated).map_err(fault)?;
        if let Dialect::Template(template) = &dialect
            && !template.has_numbers()
        {
            // Pictures go as they are.
            guesses.clear();
            let unused =
                Asking { side: None, output: None, classes: None, labels: None, ..asking.clone() }.said();
            if !unused.is_empty() {
                return Err(fault(format!(
                    "its template sends pictures, in which these have no meaning: {}",
                    unused.join(", ")
                )));
            }
        }
        if matches!(dialect, Dialect::Template(_)) && settings.batch.is_some_and(|batch| batch != 1) {
            return Err(fault(format!("its template has one image a request, {batch} were asked for")));
        }
        let missing = |what: &str| fault(format!("its description does not say {what}: say it"));
        let scale = asking
            .output
            .or(said.scale)
            .ok_or_else(|| missing("whether it answers logits or probabilities"))?;
        let labels = asking.labels.clone().or(said.labels).unwrap_or_default();
        let count = asking.classes.or((!labels.is_empty()).then_some(labels.len()));
        let classes = match (count, said.classes) {
            (Some(count), Some(own)) if count != own => {
                return Err(fault(format!("{count} classes were said, its answers have {own}")));
            }
            (count, own) => count.or(own).ok_or_else(|| missing("how many classes there are"))?,
        };
        if !(2..=MOST_CLASSES).contains(&classes) || !labels.is_empty() && labels.len() != classes {
            return Err(fault(format!(
                "expected 2 to {MOST_CLASSES} classes and a name for each, found {classes} and {} names",
                labels.len()
            )));
        }
        let text = match &dialect {
            Dialect::Template(template) => template.text.clone(),
            _ => said.model,
        };
        let mut front = Front::new(identity(&address, &text, &encoding, scale, classes), classes, scale);
        if !labels.is_empty() {
            front = front.named(labels);
        }
        if let Some(input) = encoding.input() {
            front = front.taking(input);
        }
        let single = match &dialect {
            Dialect::Inference(model) => model.is_single() || said.stated.batch == Some(1),
            Dialect::Predict => false,
            Dialect::Template(_) => true,
        };
        let answers = if scale == Scale::Logits { "logits" } else { "probabilities" };
        let notes = vec![format!("{address}: {encoding}, answers are {answers}")];
        let batch = if single { 1 } else { batch };
        Ok(Self { front, address, client, dialect, encoding, batch, requests, guesses, notes })
    }

    /// The same victim with another interface.
    ///
    /// # Errors
    /// [`VictimError::Interface`] if its answers do not contain what it gives out.
    pub fn behind(self, interface: Interface) -> Result<Self, VictimError> {
        Ok(Self { front: self.front.behind(interface)?, ..self })
    }

    /// How it is asked.
    pub fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// What of that was guessed.
    pub fn guesses(&self) -> &[Guess] {
        &self.guesses
    }

    /// What a person should know.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    #[cfg(test)]
    fn impatient(self, pause: std::time::Duration) -> Self {
        Self { client: self.client.impatient(pause), ..self }
    }

    fn trouble(address: &str, trouble: Trouble) -> VictimError {
        let address = address.to_owned();
        match trouble {
            Trouble::Unavailable { problem, sent, outage } => {
                VictimError::Unavailable { address, problem, sent, outage }
            }
            Trouble::Refused { status: 0 | 200, problem } => VictimError::Endpoint { address, problem },
            Trouble::Refused { status, problem } => VictimError::Endpoint {
                address,
                problem: format!("it answers with status {status}: {problem}"),
            },
        }
    }

    /// The rows `[images, classes]` of one request.
    fn rows(&self, request: &Request<'_>, items: &[(usize, usize)]) -> Result<Vec<f32>, Trouble> {
        let (classes, side) = (self.front.classes(), request.images.height);
        let part = Request { items: items.to_vec(), ..request.clone() };
        let pixels = part.pixels();
        let mut values = Vec::new();
        pixels.iter().for_each(|image| self.encoding.encode(image, &mut values));
        let (count, axes) = (items.len(), self.encoding.axes(side));
        let rows = match &self.dialect {
            Dialect::Inference(model) => model.ask(&self.client, &values, count, &axes, classes),
            Dialect::Predict => predict::ask(&self.client, &self.address, &values, count, &axes, classes),
            Dialect::Template(template) => {
                let shown = Shown { values: &values, axes, pixels: &pixels[0], side };
                template.ask(&self.client, &self.address, &shown, self.front.names(), classes)
            }
        }?;
        match rows.iter().find(|v| !v.is_finite()) {
            Some(found) => Err(Trouble::Refused { status: 200, problem: format!("an answer has {found}") }),
            None => Ok(rows),
        }
    }
}

impl Victim for Http {
    fn front(&self) -> &Front {
        &self.front
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
        if let Some(expected) = self.encoding.misfit(request.images) {
            return Err(request.misfit(expected));
        }
        let chunks: Vec<&[(usize, usize)]> = request.items.chunks(self.batch).collect();
        let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
        let results: Vec<Mutex<Slot>> = chunks.iter().map(|_| Mutex::default()).collect();
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                // After a failure nothing new is asked.
                if at >= chunks.len() || failed.load(Ordering::Relaxed) != usize::MAX {
                    return;
                }
                let rows = self.rows(request, chunks[at]);
                if rows.is_err() {
                    failed.store(at, Ordering::Relaxed);
                }
                *results[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(rows);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.requests.min(chunks.len()) {
                scope.spawn(work);
            }
        });
        let mut rows = Vec::with_capacity(request.items.len() * self.front.classes());
        let mut trouble = None;
        for result in results {
            match result.into_inner().unwrap_or_else(PoisonError::into_inner) {
                Some(Ok(found)) => rows.extend(found),
                Some(Err(found)) => trouble = trouble.or(Some(found)),
                None => {}
            }
        }
        match trouble {
            Some(trouble) => Err(Self::trouble(&self.address, trouble)),
            None => Ok(self.front.serve(rows)),
        }
    }
}

/// What is spoken at `address`, and what the server says there.
fn dialect(address: &str, settings: &HttpSettings, client: &Client) -> Result<(Dialect, Said), Trouble> {
    let refused = |problem: String| Trouble::Refused { status: 0, problem };
    if let Some(path) = &settings.template {
        let template = Template::read(path).map_err(refused)?;
        return Ok((Dialect::Template(template), Said::default()));
    }
    if address.contains("/v1/models/") && address.ends_with(":predict") {
        return Ok((Dialect::Predict, Said::default()));
    }
    if !address.contains("/v2/models/") {
        return Err(refused(
            "expected an address like http://HOST:PORT/v2/models/NAME or …/v1/models/NAME:predict, or a template of requests".into(),
        ));
    }
    let metadata = Inference::describe(address, client)?;
    let (input, output) = (metadata.input().map_err(refused)?, metadata.output().map_err(refused)?);
    let side = |side: &i64| usize::try_from(*side).ok().filter(|side| *side > 0);
    let (batch, axes) = match input.shape.split_at(input.shape.len() - 3) {
        ([batch], axes) => (side(batch), axes),
        (_, axes) => (None, axes),
    };
    // A server that takes bytes normalises them itself, whatever it says of that.
    let takes_bytes = input.datatype == "UINT8";
    let normalisation = metadata.numbers("mean").zip(metadata.numbers("std")).filter(|_| !takes_bytes);
    let stated = Stated {
        axes: [side(&axes[0]), side(&axes[1]), side(&axes[2])],
        normalisation,
        bytes: takes_bytes,
        batch,
    };
    let scale = match output.name.as_str() {
        "logits" => Some(Scale::Logits),
        "probabilities" => Some(Scale::Probabilities),
        _ => None,
    };
    // Axes of size 1 behind the classes are none.
    let mut classes = output
        .shape
        .iter()
        .skip(usize::from(input.shape.len() == 4))
        .filter_map(side)
        .filter(|side| *side > 1);
    let classes = classes.next_back().filter(|_| output.datatype != "BYTES");
    let versions = metadata.versions.clone().unwrap_or_default().join(",");
    let model = format!("{} {versions} {}", metadata.name, output.name);
    let labels = metadata.labels();
    let model_at = Inference::new(address, &metadata, client, settings.tensors).map_err(refused)?;
    Ok((Dialect::Inference(model_at), Said { stated, scale, classes, labels, model }))
}

/// A digest of all that is known to decide the answers.
fn identity(address: &str, model: &str, encoding: &Encoding, scale: Scale, classes: usize) -> String {
    let text = format!("{address}\n{model}\n{encoding} {scale:?} {classes}");
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
