//! The state from which an interrupted run goes on, in one safetensors file, written whole or not at all.

use super::trainer::{EpochRow, Partial};
use crate::files::write_whole;
use crate::nets::NamedTensor;
use miette::Diagnostic;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
const KEY: &str = "nasty-teacher";

/// Everything that the rest of a run depends on.
pub struct State {
    /// The network as it is.
    pub network: Vec<NamedTensor>,
    /// The network of the best epoch so far.
    pub best: Option<Vec<NamedTensor>>,
    /// The optimiser's record, as Burn writes it.
    pub optimiser: Vec<u8>,
    /// Where the run stands.
    pub position: Position,
}

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// 0-based epoch under way.
    pub epoch: usize,
    /// Batches of it that are done.
    pub batch: usize,
    /// Sums over those batches.
    pub partial: Partial,
    /// Finished epochs.
    pub rows: Vec<EpochRow>,
    /// 0-based best epoch so far.
    pub best_epoch: Option<usize>,
    /// Seconds of work so far.
    pub seconds: f64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    recipe: String,
    position: Position,
}

/// A state that cannot be written or read.
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
}

/// Saves `state` of the recipe with hash `recipe`.
pub fn save(path: &Path, recipe: &str, state: &State) -> Result<(), StateError> {
    let header = Header { format: FORMAT, recipe: recipe.to_owned(), position: state.position.clone() };
    let header = serde_json::to_string(&header).expect("a position is plain data");
    let mut bytes: Vec<(String, Vec<usize>, Dtype, Vec<u8>)> = Vec::new();
    let groups = [("network", Some(&state.network)), ("best", state.best.as_ref())];
    for (group, tensors) in groups {
        for tensor in tensors.into_iter().flatten() {
            let data = tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect();
            bytes.push((format!("{group}/{}", tensor.name), tensor.shape.clone(), Dtype::F32, data));
        }
    }
    bytes.push(("optimiser".into(), vec![state.optimiser.len()], Dtype::U8, state.optimiser.clone()));
    let views = bytes.iter().map(|(name, shape, dtype, data)| {
        (name, TensorView::new(*dtype, shape.clone(), data).expect("shape and data agree"))
    });
    let file = serialize(views, Some(HashMap::from([(KEY.to_owned(), header)])))
        .expect("tensors of matching shapes can be serialised");
    write_whole(path, &file).map_err(|source| StateError::Io { path: path.to_owned(), source })
}

/// Loads the state of the recipe with hash `recipe`; `None` if there is no file.
/// `like` gives the names and shapes, in order, that the network must have.
pub fn load(path: &Path, recipe: &str, like: &[NamedTensor]) -> Result<Option<State>, StateError> {
    let file = match std::fs::read(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Io { path: path.to_owned(), source }),
    };
    read(&file, recipe, like).map(Some).map_err(|found| StateError::Unreadable {
        path: path.to_owned(),
        recipe: recipe.to_owned(),
        found,
    })
}

fn read(file: &[u8], recipe: &str, like: &[NamedTensor]) -> Result<State, String> {
    let bad = |what: &dyn std::fmt::Display| format!("a damaged file ({what})");
    let (_, metadata) = SafeTensors::read_metadata(file).map_err(|e| bad(&e))?;
    let header = metadata.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or("a file of another program")?;
    let header: Header = serde_json::from_str(header).map_err(|e| bad(&e))?;
    if header.format != FORMAT || header.recipe != recipe {
        return Err(format!("the state of recipe {} in format {}", header.recipe, header.format));
    }
    let tensors = SafeTensors::deserialize(file).map_err(|e| bad(&e))?;
    let group = |group: &str| -> Result<Vec<NamedTensor>, String> {
        like.iter()
            .map(|wanted| {
                let view = tensors.tensor(&format!("{group}/{}", wanted.name)).map_err(|e| bad(&e))?;
                if view.shape() != wanted.shape || view.dtype() != Dtype::F32 {
                    return Err(bad(&format!("{} has shape {:?}", wanted.name, view.shape())));
                }
                let data = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
                Ok(NamedTensor { name: wanted.name.clone(), shape: wanted.shape.clone(), data })
            })
            .collect()
    };
    Ok(State {
        network: group("network")?,
        best: header.position.best_epoch.map(|_| group("best")).transpose()?,
        optimiser: tensors.tensor("optimiser").map_err(|e| bad(&e))?.data().to_vec(),
        position: header.position,
    })
}
