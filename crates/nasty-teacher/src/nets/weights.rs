//! A trained network on disk: a folder with `model.safetensors` (PyTorch's names and layout) and a `config.json` like
//! those of Hugging Face and timm. Loading a folder needs nothing else.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Architecture, Input, NamedTensor, NetError, Network};
use crate::data::Framing;

/// The weights' file in a network's folder.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// The description's file in a network's folder.
pub const CONFIG_FILE: &str = "config.json";

const FORMAT: u32 = 1;
/// Larger files are refused before they are read.
const MAX_WEIGHTS_BYTES: u64 = 4 << 30;
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// Everything needed to use a network's weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Version of this format: 1.
    pub format: u32,
    /// The architecture's name.
    pub architecture: Architecture,
    /// The number of classes.
    pub num_classes: usize,
    /// Channels, height, width.
    pub input_size: [usize; 3],
    /// What is subtracted from each channel of an image in 0..1.
    pub mean: Vec<f32>,
    /// What each channel is divided by afterwards.
    pub std: Vec<f32>,
    /// The classes' names, in the order of the logits.
    pub label_names: Vec<String>,
    /// What a picture's shorter side is resized to before its central square is taken, where that is not the image's side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shorter_side: Option<usize>,
}

impl NetworkConfig {
    /// The description of `network`, for images normalised by `mean` and `std` (one number a channel each).
    pub fn new(network: &Network, mean: Vec<f32>, std: Vec<f32>, label_names: Vec<String>) -> Self {
        let Input { channels, side } = network.input();
        Self {
            format: FORMAT,
            architecture: network.architecture(),
            num_classes: network.classes(),
            input_size: [channels, side, side],
            mean,
            std,
            label_names,
            shorter_side: None,
        }
    }

    /// The description of a network for pictures that became squares by `framing`.
    pub fn framed(self, framing: Option<Framing>) -> Self {
        let shorter_side = framing.filter(|f| f.shorter() != f.side()).map(|f| f.shorter());
        Self { shorter_side, ..self }
    }

    /// How pictures of any size become the network's images.
    pub fn framing(&self) -> Framing {
        let side = self.input().side;
        self.shorter_side
            .and_then(|shorter| Framing::new(shorter, side).ok())
            .unwrap_or(Framing::square(side))
    }

    /// The shape of the images.
    pub fn input(&self) -> Input {
        Input { channels: self.input_size[0], side: self.input_size[1] }
    }

    /// What is wrong with the description, if anything.
    fn fault(&self) -> Option<String> {
        let [channels, height, width] = self.input_size;
        let finite = |v: &[f32]| v.iter().all(|x| x.is_finite());
        if self.format != FORMAT {
            Some(format!("format is {}, this program reads {FORMAT}", self.format))
        } else if height != width {
            Some(format!("input_size is {height}×{width}, images must be square"))
        } else if self.mean.len() != channels || self.std.len() != channels {
            let (mean, std) = (self.mean.len(), self.std.len());
            Some(format!("mean and std must have {channels} numbers, one a channel; found {mean} and {std}"))
        } else if !finite(&self.mean) || !finite(&self.std) || self.std.iter().any(|s| *s <= 0.0) {
            Some("mean must be finite and std positive".into())
        } else if self.label_names.len() != self.num_classes {
            Some(format!("{} label_names for {} classes", self.label_names.len(), self.num_classes))
        } else if let Some(Err(error)) = self.shorter_side.map(|shorter| Framing::new(shorter, height)) {
            Some(format!("shorter_side: {error}"))
        } else {
            None
        }
    }
}

/// Writes a network's folder; each file appears whole or not at all, the description last.
///
/// # Errors
/// [`NetError::Format`] for a description that does not fit the network; [`NetError::Io`].
pub fn save(folder: &Path, network: &Network, config: &NetworkConfig) -> Result<(), NetError> {
    let config_path = folder.join(CONFIG_FILE);
    let fits = config.architecture == network.architecture()
        && config.num_classes == network.classes()
        && config.input() == network.input();
    let fault = if fits { config.fault() } else { Some("it describes another network".into()) };
    if let Some(fault) = fault {
        return Err(NetError::format(&config_path, "a network's description", fault));
    }
    fs::create_dir_all(folder).map_err(|e| NetError::write(folder, e))?;
    let weights = to_safetensors(&network.state_dict());
    write_whole(&folder.join(WEIGHTS_FILE), &weights)?;
    write_whole(&config_path, config_text(config).as_bytes())
}

/// The text of a `config.json`.
pub(crate) fn config_text(config: &NetworkConfig) -> String {
    serde_json::to_string_pretty(config).expect("plain data has a JSON form") + "\n"
}

/// Writes a network's folder that is not there yet, or empty: the whole folder appears or nothing does.
///
/// # Errors
/// As [`save`].
pub(crate) fn save_new(folder: &Path, network: &Network, config: &NetworkConfig) -> Result<(), NetError> {
    let parent = folder.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fail = |e| NetError::write(folder, e);
    let made = missing_parents(parent);
    let write = || {
        fs::create_dir_all(parent).map_err(fail)?;
        let part = tempfile::Builder::new().prefix(".part-").tempdir_in(parent).map_err(fail)?;
        save(part.path(), network, config)?;
        // Temporary folders are private; what is kept gets the permissions that any new folder would have.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(part.path(), fs::Permissions::from_mode(0o755)).map_err(fail)?;
        }
        fs::rename(part.path(), folder).map_err(fail)?;
        // It is no temporary folder any more.
        let _ = part.keep();
        Ok(())
    };
    write().inspect_err(|_| made.iter().for_each(|made| drop(fs::remove_dir(made))))
}

/// The folders on the way to `folder` that are not there, the innermost first.
fn missing_parents(folder: &Path) -> Vec<PathBuf> {
    folder.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists()).map(Path::to_owned).collect()
}

/// Reads a network's folder.
///
/// # Errors
/// [`NetError::Io`], [`NetError::Format`], or what [`Architecture::build`] and [`Network::load_state_dict`] report.
pub fn load(folder: &Path, device: &Device) -> Result<(Network, NetworkConfig), NetError> {
    let Loaded { network, config, .. } = load_known(folder, device)?;
    Ok((network, config))
}

/// A network that was read, and what it was read from.
#[derive(Debug)]
pub struct Loaded {
    /// The network.
    pub network: Network,
    /// Its description.
    pub config: NetworkConfig,
    /// The [`digest`] of the very bytes that were read.
    pub digest: String,
}

/// Reads a network's folder, as [`load`] does, with the digest of what was read.
///
/// # Errors
/// As [`load`].
pub fn load_known(folder: &Path, device: &Device) -> Result<Loaded, NetError> {
    let [config_path, path] = [CONFIG_FILE, WEIGHTS_FILE].map(|name| folder.join(name));
    let description = read_bounded(&config_path, MAX_CONFIG_BYTES)?;
    let config = parse_config(&config_path, &description)?;
    let network = config.architecture.build(config.num_classes, config.input(), 0, device)?;
    let weights = read_bounded(&path, MAX_WEIGHTS_BYTES)?;
    let tensors = parse_weights(&path, &weights)?;
    Ok(Loaded { network: network.load_state_dict(&tensors)?, config, digest: digest(&description, &weights) })
}

/// What a network's folder is known by, whatever made it: the first 16 hexadecimal digits of the SHA-256 over the bytes of
/// its `config.json`, then of its `model.safetensors`.
pub fn digest(config: &[u8], weights: &[u8]) -> String {
    let hash = Sha256::new().chain_update(config).chain_update(weights).finalize();
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn parse_config(path: &Path, bytes: &[u8]) -> Result<NetworkConfig, NetError> {
    const WHAT: &str = "a network's description";
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let config: NetworkConfig =
        serde_path_to_error::deserialize(&mut json).map_err(|e| NetError::format(path, WHAT, e))?;
    match config.fault() {
        Some(fault) => Err(NetError::format(path, WHAT, fault)),
        None => Ok(config),
    }
}

/// The tensors of the safetensors file at `path` with these `bytes`, in the file's order; floating-point types only, given as f32.
fn parse_weights(path: &Path, bytes: &[u8]) -> Result<Vec<NamedTensor>, NetError> {
    parse_safetensors(bytes)
        .map_err(|fault| NetError::format(path, "a safetensors file of float weights", fault))
}

pub(crate) fn parse_safetensors(bytes: &[u8]) -> Result<Vec<NamedTensor>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    file.iter()
        .map(|(name, view)| {
            let data = match view.dtype() {
                Dtype::F32 => view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
                Dtype::F64 => {
                    view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect()
                }
                other => return Err(format!("`{name}` has the type {other:?}, expected F32 or F64")),
            };
            Ok(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), data })
        })
        .collect()
}

pub(crate) fn to_safetensors(tensors: &[NamedTensor]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|t| t.data.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|(tensor, data)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), data);
        (tensor.name.as_str(), view.expect("the data has the shape's length"))
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata)).expect("names are distinct")
}

/// The whole file, if it is no larger than `limit`.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, NetError> {
    let fail = |e| NetError::read(path, e);
    let file = File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    if length > limit {
        return Err(NetError::format(
            path,
            "a file of this kind",
            format!("it has {length} bytes, at most {limit} are read"),
        ));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(limit).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// Writes a file whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), NetError> {
    crate::files::write_whole(path, bytes).map_err(|e| NetError::write(path, e))
}
