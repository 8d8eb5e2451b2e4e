//! Networks for other programs: safetensors with PyTorch's names beside a `config.json`, and ONNX.

mod onnx;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub(crate) use onnx::to_onnx;

use super::weights::{CONFIG_FILE, config_text, to_safetensors, write_whole};
use super::{NetError, Network, NetworkConfig};

/// Why a network was not exported. Nothing has been written then.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ExportError {
    /// The file could not be written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Net(#[from] NetError),
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
        "a safetensors file is described by the config.json beside it: export into a folder of its own"
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
