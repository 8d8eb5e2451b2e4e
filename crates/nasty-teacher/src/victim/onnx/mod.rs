//! An ONNX file as a victim, computed by the built-in runtime `rten`, or by onnxruntime (cargo feature `ort`).
//!
//! The file is described and bounded before a runtime sees it ([`graph`]). For the built-in runtime it is rewritten where that would
//! silently compute other numbers ([`rewrite`]), or refused where that is not possible ([`faults`]). It is then tried on test
//! patterns: answers must be finite, and the same for an image alone and in company.

mod asked;
mod engine;
mod external;
mod faults;
mod frames;
mod graph;
#[cfg(feature = "ort")]
mod onnxruntime;
mod probe;
mod ranks;
mod rewrite;
mod session;
#[cfg(test)]
mod standard_tests;
#[cfg(test)]
mod tests;
pub mod worker;

use super::asking::{Encoding, Stated};
use super::{Answers, Asking, Front, Guess, Interface, Request, Scale, Victim, VictimError};
use asked::{CALL_IMAGES, Graph};
pub use engine::{Engine, EngineError, LIBRARY};
use external::Unreadable;
use graph::{Described, FLOAT, UINT8};
use session::{BUILT_IN, Failure, Here, Load, Session};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use worker::{Limits, Worker};

/// Where a graph is computed.
#[derive(Clone, Default)]
pub enum Runtime {
    /// By the built-in runtime in this process, whose memory the graph can exhaust: for files that are trusted.
    #[default]
    Here,
    /// In a process of its own with bounded memory and time: this program, which calls [`worker::serve`] when it is started with
    /// the argument [`worker::COMMAND`].
    Worker(PathBuf),
    /// The same, in a worker that others use too, one model at a time: opening the next model ends this one.
    Shared(Arc<Worker>),
    /// By onnxruntime, in a process as for [`Self::Worker`]. It needs the cargo feature `ort`.
    Onnxruntime {
        /// This program.
        program: PathBuf,
        /// The library of onnxruntime.
        library: PathBuf,
    },
}

impl Runtime {
    /// Whether the built-in runtime computes the graphs.
    fn is_built_in(&self) -> bool {
        match self {
            Self::Here | Self::Worker(_) => true,
            Self::Shared(worker) => worker.is_built_in(),
            Self::Onnxruntime { .. } => false,
        }
    }
}

/// The bytes of the model in the file at `path`, with its weights in the files beside it.
///
/// # Errors
/// [`VictimError::Io`]; [`VictimError::Model`] for one that is too large, or whose other files cannot be read.
pub(crate) fn whole_file(path: &Path) -> Result<Vec<u8>, VictimError> {
    external::read(path).map_err(|why| match why {
        Unreadable::Io(source) => VictimError::Io { path: path.to_owned(), source },
        Unreadable::Problem(problem) => {
            VictimError::Model { path: path.to_owned(), problem: shown(&problem) }
        }
    })
}

/// A classifier in an ONNX file.
pub struct Onnx {
    front: Front,
    path: PathBuf,
    graph: Graph,
    guesses: Vec<Guess>,
    notes: Vec<String>,
}

impl Onnx {
    /// The classifier in the file at `path`, asked as `asking` says, computed at `runtime`. Its answers are given out as they are.
    ///
    /// # Errors
    /// [`VictimError::Io`]; [`VictimError::Model`] for a file that is not a classifier of square images, or that the runtime
    /// does not read.
    pub fn open(path: &Path, asking: &Asking, runtime: &Runtime) -> Result<Self, VictimError> {
        Self::from_bytes(path, &whole_file(path)?, asking, runtime)
    }

    /// The classifier that the bytes of a file are, which errors call `path`; its weights must be inside.
    ///
    /// # Errors
    /// [`VictimError::Model`], as [`Self::open`].
    pub fn from_bytes(
        path: &Path,
        bytes: &[u8],
        asking: &Asking,
        runtime: &Runtime,
    ) -> Result<Self, VictimError> {
        Self::of(path, bytes, asking, runtime)
            .map_err(|problem| VictimError::Model { path: path.to_owned(), problem: shown(&problem) })
    }

    fn of(path: &Path, bytes: &[u8], asking: &Asking, runtime: &Runtime) -> Result<Self, String> {
        let built_in = runtime.is_built_in();
        let described = Described::read(bytes, built_in)?;
        let answer = described.answer()?;
        let input = &described.input;
        let takes_bytes = match input.kind {
            FLOAT | 0 => false,
            UINT8 => true,
            _ => return Err(format!("the input {}: expected float32 numbers or bytes", input.name)),
        };
        let axes = input.axes.clone().unwrap_or_else(|| vec![None; 4]);
        let [batch, a, b, c] = axes[..] else {
            return Err(format!("the input {}: expected four axes, found {}", input.name, axes.len()));
        };
        let normalisation = described.numbers("mean").zip(described.numbers("std"));
        let stated = Stated { axes: [a, b, c], normalisation, bytes: takes_bytes, batch };
        let (encoding, mut guesses) = Encoding::of(asking, &stated)?;
        if batch.is_some_and(|batch| batch > CALL_IMAGES) {
            return Err(format!(
                "expected a batch of at most {CALL_IMAGES} images, found {}",
                batch.unwrap_or(0)
            ));
        }

        let rewritten = if built_in { rewrite::rewritten(bytes, described.opset) } else { None };
        let model = rewritten.as_deref().unwrap_or(bytes);
        let load =
            Load { input: &input.name, bytes: takes_bytes, output: &answer.name, library: None, model };
        let limits = Limits::of(bytes.len());
        let session: Box<dyn Session> = match runtime {
            Runtime::Here => Box::new(Here::load(&load)?),
            Runtime::Worker(program) => Box::new(Arc::new(Worker::new(program)).load(&load, limits)?),
            Runtime::Shared(worker) => Box::new(worker.load(&load, limits)?),
            Runtime::Onnxruntime { program, library } => {
                Box::new(Arc::new(Worker::new(program).with_onnxruntime(library)).load(&load, limits)?)
            }
        };
        let mut graph = Graph { encoding, session, batch };
        let tried = probe::try_out(&mut graph)?;
        let scale = match asking.output.or(described.scale(answer)) {
            Some(Scale::Probabilities) => match tried.no_probabilities {
                Some(found) => return Err(format!("its answers are said to be probabilities, but {found}")),
                None => Scale::Probabilities,
            },
            Some(Scale::Logits) => Scale::Logits,
            None => {
                guesses.push(Guess::Output);
                if tried.no_probabilities.is_none() { Scale::Probabilities } else { Scale::Logits }
            }
        };
        if asking.classes.is_some_and(|classes| classes != tried.classes) {
            return Err(format!(
                "{} classes were said, its answers have {}",
                asking.classes.unwrap_or(0),
                tried.classes
            ));
        }
        let names = asking.labels.clone().or_else(|| described.labels()).unwrap_or_default();
        if !names.is_empty() && names.len() != tried.classes {
            return Err(format!("{} names of classes for {} classes", names.len(), tried.classes));
        }
        let by = graph.session.runtime();
        let mut front = Front::new(identity(bytes, &graph.encoding, scale, by), tried.classes, scale);
        if !names.is_empty() {
            front = front.named(names);
        }
        if let Some(input) = graph.encoding.input() {
            front = front.taking(input);
        }
        let mut notes = vec![format!("{}: {}, answers are {}", path.display(), graph.encoding, words(scale))];
        if by != BUILT_IN {
            notes.push(format!("computed by {by}"));
        }
        notes.extend(tried.notes);
        if let Some(defence) = described.metadata.get("defence") {
            notes.push(format!("the file carries the defence {defence}"));
        }
        Ok(Self { front, path: path.to_owned(), graph, guesses, notes })
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
        &self.graph.encoding
    }

    /// What of that was guessed.
    pub fn guesses(&self) -> &[Guess] {
        &self.guesses
    }

    /// What a person should know: how it is asked, and what was found when it was tried.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Victim for Onnx {
    fn front(&self) -> &Front {
        &self.front
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
        if let Some(expected) = self.graph.encoding.misfit(request.images) {
            return Err(request.misfit(expected));
        }
        let classes = self.front.classes();
        let mut rows = Vec::with_capacity(request.items.len() * classes);
        let side = request.images.height;
        let per_call = self.graph.images_per_call(side);
        for items in request.items.chunks(per_call) {
            let part = Request { items: items.to_vec(), ..request.clone() };
            let failed = |failure: Failure| {
                let victim = self.path.display().to_string();
                match failure {
                    Failure::Refused(problem) => VictimError::Answer { victim, problem: shown(&problem) },
                    Failure::Ended { problem, retry_after } => {
                        VictimError::Ended { victim, problem: shown(&problem), retry_after }
                    }
                }
            };
            let found = self.graph.rows(&part.pixels(), side).map_err(failed)?;
            if found.len() != items.len() * classes {
                let problem =
                    format!("expected {classes} numbers an image, found {}", found.len() / items.len());
                return Err(failed(problem.into()));
            }
            if let Some(at) = found.iter().position(|v| !v.is_finite()) {
                let image = rows.len() / classes + at / classes;
                let problem = format!("found {} in the answer to image {image} of the request", found[at]);
                return Err(failed(problem.into()));
            }
            rows.extend(found);
        }
        Ok(self.front.serve(rows))
    }
}

/// A sentence that may hold names from a file: short, and without control characters.
fn shown(problem: &str) -> String {
    problem.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(600).collect()
}

fn words(scale: Scale) -> &'static str {
    if scale == Scale::Logits { "logits" } else { "probabilities" }
}

/// A digest of all that decides the answers, to the last bit: also of what computes them, where that is not the built-in runtime.
fn identity(model: &[u8], encoding: &Encoding, scale: Scale, runtime: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(Sha256::digest(model));
    hash.update(format!("{encoding} {scale:?}"));
    if runtime != BUILT_IN {
        hash.update(runtime);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
