//! Weights from elsewhere: PyTorch checkpoints and safetensors files, whose network is recognised from the tensors.
//!
//! A file is data: nothing in a pickle is ever executed, and no size in it is believed before it is checked.

mod checkpoint;
mod error;
mod names;
mod recognise;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use serde::Serialize;

pub use error::ImportError;

use super::weights::{NetworkConfig, save_new};
use super::{Architecture, Input, NamedTensor, Network};

/// What is known about a file before it is read. All of it may be left out.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The architecture; else all are tried.
    pub architecture: Option<Architecture>,
    /// The class count, to be held against the file's.
    pub classes: Option<usize>,
    /// Side of the images, which most networks' tensors do not show.
    pub side: Option<usize>,
    /// Key of the state dictionary in the file, where there are several.
    pub key: Option<String>,
}

/// Where the side of the images is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The tensors show it.
    Read,
    /// It was asked for.
    Given,
    /// The tensors fit several sides; CIFAR's or MNIST's was taken.
    Assumed,
}

/// What was found in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// The kind of file.
    pub kind: &'static str,
    /// What was taken off the names, such as `state_dict.module.`.
    pub prefix: String,
    /// Tensors that matched, in name and shape; all of the network's.
    pub matched: usize,
    /// The network's trainable parameters.
    pub parameters: usize,
    /// Tensors under another name in the file: the file's name, the network's.
    pub renamed: Vec<(String, String)>,
    /// Batch-norm counters, which take no part in the computation.
    pub counters: usize,
    /// Tensors beside the state dictionary, such as an optimiser's, that were not read.
    pub outside: usize,
    /// Where the side is known from.
    pub side: Side,
}

/// A network out of a file.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network, in its file's weights.
    pub network: Network,
    /// What was found.
    pub report: ImportReport,
}

/// Reads the network in `path`.
///
/// # Errors
/// [`ImportError`] for a file that is damaged, hostile, of no architecture or of several, or not of the one asked for.
pub fn import(path: &Path, options: &ImportOptions, device: &Device) -> Result<Imported, ImportError> {
    let (tensors, kind) = checkpoint::open(path)?;
    let selection = names::select(path, tensors, options.key.as_deref())?;
    let tensors = &selection.tensors;
    let mut fits = recognise::fits(tensors, &selection.not_float, options, device);
    let exact = fits.iter().filter(|fit| fit.is_exact()).count();
    if exact > 1 {
        let candidates = fits.iter().take(exact).map(recognise::Fit::name).collect();
        return Err(ImportError::Ambiguous { path: path.to_owned(), candidates });
    }
    if fits.is_empty() {
        // Only an input or a class count that cannot be built leaves nothing to compare with.
        if let (Some(architecture), Some(side)) = (options.architecture, options.side) {
            architecture.check(Input { channels: 3, side })?;
        }
        let problem = "nothing that it could be can be built".to_owned();
        return Err(ImportError::Unreadable { path: path.to_owned(), kind, problem });
    }
    let fit = fits.swap_remove(0);
    if exact == 0 {
        let (path, matched, differences) = (path.to_owned(), fit.matched.len(), fit.differences());
        let name = fit.architecture.to_string();
        return Err(match options.architecture {
            Some(_) => ImportError::WrongArchitecture { path, architecture: name, matched, differences },
            None => ImportError::Unrecognised { path, nearest: name, matched, differences },
        });
    }
    if let Some(wanted) = options.classes.filter(|wanted| *wanted != fit.classes) {
        let (path, found) = (path.to_owned(), fit.classes);
        return Err(ImportError::Other { path, what: "classes", found, wanted });
    }
    let network = fit.architecture.build(fit.classes, fit.input, 0, device)?;
    let shapes: BTreeMap<&str, &[usize]> =
        network.tensors().iter().map(|t| (t.name.as_str(), t.shape.as_slice())).collect();
    let mut state = Vec::with_capacity(fit.matched.len());
    for (name, given) in &fit.matched {
        let stored = &tensors[given];
        let data = stored.values().map_err(|problem| ImportError::Unreadable {
            path: path.to_owned(),
            kind,
            problem,
        })?;
        if name.ends_with(".running_var")
            && let Some(index) = data.iter().position(|v| *v < 0.0)
        {
            let (path, name, value) = (path.to_owned(), given.clone(), data[index]);
            return Err(ImportError::NegativeVariance { path, name, index, value });
        }
        state.push(NamedTensor { name: name.clone(), shape: shapes[name.as_str()].to_vec(), data });
    }
    let network = network.load_state_dict(&state)?;
    let renamed = fit
        .matched
        .iter()
        .filter(|(own, given)| own != given)
        .map(|(own, given)| (given.clone(), own.clone()));
    let report = ImportReport {
        kind,
        prefix: selection.prefix,
        matched: fit.matched.len(),
        parameters: network.parameters(),
        renamed: renamed.collect(),
        counters: selection.counters,
        outside: selection.outside.len(),
        side: fit.side,
    };
    Ok(Imported { network, report })
}

impl Imported {
    /// Writes the network as a folder of its own, whole or not at all. `labels` are the classes' names; their numbers
    /// if there are none.
    ///
    /// # Errors
    /// [`ImportError::Description`] for a normalisation or names that do not fit, [`ImportError::Occupied`] for a folder
    /// with something in it, or what the file system says.
    pub fn save(
        &self,
        folder: &Path,
        mean: Vec<f32>,
        std: Vec<f32>,
        labels: Option<Vec<String>>,
    ) -> Result<NetworkConfig, ImportError> {
        let (channels, classes) = (self.network.input().channels, self.network.classes());
        let one_each = format!("a mean and a positive standard deviation for each of {channels} channels");
        let fits = mean.len() == channels
            && std.len() == channels
            && mean.iter().all(|m| m.is_finite())
            && std.iter().all(|s| s.is_finite() && *s > 0.0);
        if !fits {
            let (found, help) = (
                format!("mean {mean:?} and std {std:?}"),
                "give the normalisation that the network was trained with",
            );
            return Err(ImportError::Description { expected: one_each, found, help });
        }
        let labels = labels.unwrap_or_else(|| (0..classes).map(|c| c.to_string()).collect());
        if labels.len() != classes {
            let (expected, found) = (format!("{classes} names of classes"), labels.len().to_string());
            return Err(ImportError::Description {
                expected,
                found,
                help: "give one name a line, in the order of the logits",
            });
        }
        let config = NetworkConfig::new(&self.network, mean, std, labels);
        let occupied =
            folder.is_file() || std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            return Err(ImportError::Occupied { folder: folder.to_owned() });
        }
        save_new(folder, &self.network, &config)?;
        Ok(config)
    }
}
