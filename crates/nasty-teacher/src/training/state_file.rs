//! A safetensors file with the saved state of an interrupted run: its position, groups of tensors, and optimisers'
//! records. It is written completely or not at all, and is bound to one recipe and to the weights that the run queries.

use super::course::Course;
use crate::files::write_whole;
use crate::nets::NamedTensor;
use crate::numerics::Provenance;
use crate::{Classified, ErrorClass};
use miette::Diagnostic;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Version of the file. Format 1 (version 0.1.0) had no provenance.
const FORMAT: u32 = 2;
const KEY: &str = "nasty-teacher";

/// A state that cannot be written, read or continued.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StateError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a state of this recipe.
    #[error("{path}: expected the saved state of recipe {recipe}, found {found}")]
    #[diagnostic(help("delete this file to start the run again from its first epoch"))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The recipe's hash.
        recipe: String,
        /// What is wrong.
        found: String,
    },
    /// The file is whole, but of another version of this program.
    #[error(
        "{path} is a saved state of format {found}, but this version can only continue states of format {FORMAT}"
    )]
    #[diagnostic(help(
        "finish the run with the version that began it, or delete this file to start the run again from its first epoch"
    ))]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The run was begun with another network under the same name.
    #[error(
        "{path}: the run began with {began}, but the weights there are now {now}; continuing would mix the answers of two networks"
    )]
    #[diagnostic(help(
        "restore the earlier weights to resume, or delete this file to start the run again from its first epoch"
    ))]
    OtherWeights {
        /// The file.
        path: PathBuf,
        /// The networks that the state was made from.
        began: String,
        /// Those that are there now.
        now: String,
    },
}

impl Classified for StateError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Data
    }
}

impl StateError {
    fn unreadable(path: &Path, recipe: &str, found: String) -> Self {
        Self::Unreadable { path: path.to_owned(), recipe: recipe.to_owned(), found }
    }
}

#[derive(Serialize, Deserialize)]
struct Header<P> {
    format: u32,
    recipe: String,
    provenance: Provenance,
    course: Course,
    position: P,
}

/// What work leaves in a state beside its course.
pub(crate) struct Parts<P> {
    /// Where the work itself stands.
    pub(crate) position: P,
    /// Tensors: `<group>/<name>` in the file.
    pub(crate) groups: Vec<(&'static str, Vec<NamedTensor>)>,
    /// Records of bytes, such as an optimiser's.
    pub(crate) records: Vec<(&'static str, Vec<u8>)>,
}

/// Writes the state of the recipe with hash `recipe`.
pub(crate) fn write<P: Serialize>(
    path: &Path,
    recipe: &str,
    provenance: &Provenance,
    course: &Course,
    parts: &Parts<P>,
) -> Result<(), StateError> {
    let header = Header {
        format: FORMAT,
        recipe: recipe.to_owned(),
        provenance: provenance.clone(),
        course: course.clone(),
        position: &parts.position,
    };
    let header = serde_json::to_string(&header).expect("a position is plain data");
    let mut bytes: Vec<(String, Vec<usize>, Dtype, Vec<u8>)> = Vec::new();
    for (group, tensors) in &parts.groups {
        for tensor in tensors {
            let data = tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect();
            bytes.push((format!("{group}/{}", tensor.name), tensor.shape.clone(), Dtype::F32, data));
        }
    }
    for (name, record) in &parts.records {
        bytes.push(((*name).to_owned(), vec![record.len()], Dtype::U8, record.clone()));
    }
    let views = bytes.iter().map(|(name, shape, dtype, data)| {
        (name, TensorView::new(*dtype, shape.clone(), data).expect("shape and data agree"))
    });
    let file = serialize(views, Some(HashMap::from([(KEY.to_owned(), header)])))
        .expect("tensors of matching shapes can be serialised");
    write_whole(path, &file).map_err(|source| StateError::Io { path: path.to_owned(), source })
}

/// A state that was read.
pub(crate) struct Saved<P> {
    pub(crate) position: P,
    pub(crate) course: Course,
    /// What the run was begun with, and now goes on with.
    pub(crate) provenance: Provenance,
    file: Vec<u8>,
    path: PathBuf,
    recipe: String,
}

/// Reads the state of the recipe with hash `recipe`, to go on with `now`; `None` if there is no file.
pub(crate) fn read<P: DeserializeOwned>(
    path: &Path,
    recipe: &str,
    now: &Provenance,
) -> Result<Option<Saved<P>>, StateError> {
    let file = match std::fs::read(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Io { path: path.to_owned(), source }),
    };
    let unreadable = |found| StateError::unreadable(path, recipe, found);
    let text = header(&file).map_err(unreadable)?;
    // What another recipe or format holds further on may be of another kind, so that is looked at last.
    let whose: Whose = serde_json::from_str(&text).map_err(|e| unreadable(damaged(&e)))?;
    if whose.recipe != recipe {
        return Err(unreadable(format!("the state of recipe {}", whose.recipe)));
    }
    if whose.format != FORMAT {
        return Err(StateError::Format { path: path.to_owned(), found: whose.format });
    }
    let Header::<P> { provenance, course, position, .. } =
        serde_json::from_str(&text).map_err(|e| unreadable(damaged(&e)))?;
    if provenance.weights != now.weights {
        let (began, now) = (listed(&provenance), listed(now));
        return Err(StateError::OtherWeights { path: path.to_owned(), began, now });
    }
    let provenance = now.continuing(&provenance);
    let (path, recipe) = (path.to_owned(), recipe.to_owned());
    Ok(Some(Saved { position, course, provenance, file, path, recipe }))
}

/// The beginning of a header, of any format.
#[derive(Deserialize)]
struct Whose {
    format: u32,
    recipe: String,
}

fn header(file: &[u8]) -> Result<String, String> {
    SafeTensors::deserialize(file).map_err(|e| damaged(&e))?;
    let (_, metadata) = SafeTensors::read_metadata(file).map_err(|e| damaged(&e))?;
    let header = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
    Ok(header.ok_or("a file of another program")?.clone())
}

fn damaged(what: &dyn std::fmt::Display) -> String {
    format!("a damaged file ({what})")
}

/// `network 0123456789abcdef with weights fedcba9876543210`.
fn listed(provenance: &Provenance) -> String {
    let one = |(network, digest): &(String, String)| format!("network {network} with weights {digest}");
    let all: Vec<String> = provenance.weights.iter().map(one).collect();
    if all.is_empty() { "no network".into() } else { all.join(", ") }
}

impl<P> Saved<P> {
    /// The tensors of `group`, which must have the names and shapes of `like`, in that order.
    pub(crate) fn group(&self, group: &str, like: &[NamedTensor]) -> Result<Vec<NamedTensor>, StateError> {
        let tensors = self.tensors()?;
        let tensor = |wanted: &NamedTensor| {
            let name = format!("{group}/{}", wanted.name);
            let view = tensors.tensor(&name).map_err(|e| self.damaged(&e))?;
            if view.shape() != wanted.shape || view.dtype() != Dtype::F32 {
                return Err(self.damaged(&format!("{name} has shape {:?}", view.shape())));
            }
            let data = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            Ok(NamedTensor { name: wanted.name.clone(), shape: wanted.shape.clone(), data })
        };
        like.iter().map(tensor).collect()
    }

    /// The bytes of the record `name`.
    pub(crate) fn record(&self, name: &str) -> Result<Vec<u8>, StateError> {
        Ok(self.tensors()?.tensor(name).map_err(|e| self.damaged(&e))?.data().to_vec())
    }

    /// The error that the file is not what it should be.
    pub(crate) fn damaged(&self, what: &dyn std::fmt::Display) -> StateError {
        StateError::unreadable(&self.path, &self.recipe, damaged(what))
    }

    fn tensors(&self) -> Result<SafeTensors<'_>, StateError> {
        SafeTensors::deserialize(&self.file).map_err(|e| self.damaged(&e))
    }
}
