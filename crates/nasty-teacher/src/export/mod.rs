//! Networks for other programs: safetensors with PyTorch's names beside a `config.json`, and ONNX.

mod defend;
mod messages;
mod onnx;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use defend::GraphInputs;
use defend::foreign::defend_model;
use onnx::to_onnx;

use crate::defences::{ClassTails, DefenceError, Stack};
use crate::nets::{CONFIG_FILE, NetError, Network, NetworkConfig, config_text, to_safetensors, write_whole};
use crate::victim::VictimError;
use crate::victim::onnx::whole_file;

/// Why a network was not exported. Nothing has been written then.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ExportError {
    /// The file could not be written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Net(#[from] NetError),
    /// The defence cannot be part of the file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Defence(#[from] DefenceError),
    /// A defence can be in an ONNX file only.
    #[error("a defence cannot be part of {}: expected a name that ends in .onnx", path.display())]
    NoGraph {
        /// The file.
        path: PathBuf,
    },
    /// The file's name does not say a format.
    #[error("cannot tell the format of {}: expected a name that ends in .safetensors or .onnx", path.display())]
    #[diagnostic(help("safetensors is for PyTorch and the like, ONNX runs anywhere"))]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// There is a description of something else where this network's must go.
    #[error("{} describes another network; nothing is overwritten", path.display())]
    #[diagnostic(help(
        "a safetensors file is described by the config.json beside it: export into another folder"
    ))]
    Occupied {
        /// The `config.json`.
        path: PathBuf,
    },
}

impl crate::Classified for ExportError {
    fn class(&self) -> crate::ErrorClass {
        match self {
            Self::Format { .. } | Self::Occupied { .. } => crate::ErrorClass::Usage,
            _ => crate::ErrorClass::Data,
        }
    }
}

/// Writes `network` to `path`, in the format that the name ends in; gives the files written.
///
/// # Errors
/// [`ExportError`].
pub fn export(path: &Path, network: &Network, config: &NetworkConfig) -> Result<Vec<PathBuf>, ExportError> {
    match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("onnx") => {
            write_whole(path, &to_onnx(network, config))?;
            Ok(vec![path.to_owned()])
        }
        Some("safetensors") => {
            let beside = path.with_file_name(CONFIG_FILE);
            let text = config_text(config);
            if std::fs::read(&beside).is_ok_and(|found| found != text.as_bytes()) {
                return Err(ExportError::Occupied { path: beside });
            }
            write_whole(path, &to_safetensors(&network.state_dict()))?;
            write_whole(&beside, text.as_bytes())?;
            Ok(vec![path.to_owned(), beside])
        }
        _ => Err(ExportError::Format { path: path.to_owned() }),
    }
}

/// Writes `network` behind the defences of `stack` to the ONNX file `path`: its output is `probabilities` in place of
/// `logits`. A class tail needs its table. Gives the files written.
///
/// # Errors
/// [`ExportError`]; [`ExportError::Defence`] for a defence that cannot be expressed in a graph.
pub fn export_defended(
    path: &Path,
    network: &Network,
    config: &NetworkConfig,
    stack: &Stack,
    class_tails: Option<&ClassTails>,
) -> Result<Vec<PathBuf>, ExportError> {
    if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) {
        return Err(ExportError::NoGraph { path: path.to_owned() });
    }
    write_whole(path, &onnx::to_defended_onnx(network, config, stack, class_tails)?)?;
    Ok(vec![path.to_owned()])
}

/// Writes the foreign ONNX model `model` behind the defences of `stack` to `path`. Its one output `[batch, classes]`, which is
/// `probabilities` or else logits, stays inside; `inputs` is what some defences need. Gives the files written.
///
/// # Errors
/// [`ExportError`]; [`NetError::Format`] says why a model cannot carry the defence.
pub fn defend_onnx(
    model: &Path,
    probabilities: bool,
    stack: &Stack,
    inputs: GraphInputs<'_>,
    path: &Path,
) -> Result<Vec<PathBuf>, ExportError> {
    let expected = "an ONNX model that can carry a defence";
    // Weights beside the model are put into it: it goes to another folder.
    let bytes = whole_file(model).map_err(|why| match why {
        VictimError::Io { source, .. } => NetError::read(model, source),
        VictimError::Model { problem, .. } => NetError::format(model, expected, problem),
        other => NetError::format(model, expected, other),
    })?;
    let defended = defend_model(&bytes, stack, probabilities, inputs)
        .map_err(|reason| NetError::format(model, expected, reason))?;
    write_whole(path, &defended)?;
    Ok(vec![path.to_owned()])
}
