//! A safetensors file from which interrupted work goes on: where it stands, groups of tensors, and optimisers'
//! records. Written whole or not at all, and bound to one recipe.

use super::checkpoint::StateError;
use crate::files::write_whole;
use crate::nets::NamedTensor;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
const KEY: &str = "nasty-teacher";

#[derive(Serialize, Deserialize)]
struct Header<P> {
    format: u32,
    recipe: String,
    position: P,
}

/// Writes the state of the recipe with hash `recipe`: groups of tensors (`<group>/<name>` in the file) and records
/// of bytes.
pub(crate) fn write<P: Serialize>(
    path: &Path,
    recipe: &str,
    position: &P,
    groups: &[(&str, &[NamedTensor])],
    records: &[(&str, &[u8])],
) -> Result<(), StateError> {
    let header = Header { format: FORMAT, recipe: recipe.to_owned(), position };
    let header = serde_json::to_string(&header).expect("a position is plain data");
    let mut bytes: Vec<(String, Vec<usize>, Dtype, Vec<u8>)> = Vec::new();
    for (group, tensors) in groups {
        for tensor in *tensors {
            let data = tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect();
            bytes.push((format!("{group}/{}", tensor.name), tensor.shape.clone(), Dtype::F32, data));
        }
    }
    for (name, record) in records {
        bytes.push(((*name).to_owned(), vec![record.len()], Dtype::U8, record.to_vec()));
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
    file: Vec<u8>,
    path: PathBuf,
    recipe: String,
}

/// Reads the state of the recipe with hash `recipe`; `None` if there is no file.
pub(crate) fn read<P: DeserializeOwned>(path: &Path, recipe: &str) -> Result<Option<Saved<P>>, StateError> {
    let file = match std::fs::read(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Io { path: path.to_owned(), source }),
    };
    let unreadable = |found| StateError::unreadable(path, recipe, found);
    let position = header(&file, recipe).map_err(unreadable)?;
    Ok(Some(Saved { position, file, path: path.to_owned(), recipe: recipe.to_owned() }))
}

fn header<P: DeserializeOwned>(file: &[u8], recipe: &str) -> Result<P, String> {
    SafeTensors::deserialize(file).map_err(|e| damaged(&e))?;
    let (_, metadata) = SafeTensors::read_metadata(file).map_err(|e| damaged(&e))?;
    let header = metadata.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or("a file of another program")?;
    // Of another recipe the position may be of another kind, so it is looked at last.
    let whose: Header<serde_json::Value> = serde_json::from_str(header).map_err(|e| damaged(&e))?;
    if whose.format != FORMAT || whose.recipe != recipe {
        return Err(format!("the state of recipe {} in format {}", whose.recipe, whose.format));
    }
    let header: Header<P> = serde_json::from_str(header).map_err(|e| damaged(&e))?;
    Ok(header.position)
}

fn damaged(what: &dyn std::fmt::Display) -> String {
    format!("a damaged file ({what})")
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
