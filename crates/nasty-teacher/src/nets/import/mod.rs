//! Imports PyTorch checkpoints and safetensors files; the network is recognised by its tensors.
//!
//! A file is only data: nothing in a pickle is ever executed, and no size in it is used before it is checked.

mod archive;
mod check;
mod checkpoint;
mod error;
mod facts;
mod families;
mod folder;
mod kinds;
mod known;
mod names;
mod options;
mod recognise;
mod spellings;
mod stored;
#[cfg(test)]
mod tests;
mod torch;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use serde::Serialize;

pub use check::{Check, LogitCheck, check};
pub use error::ImportError;
pub use known::Known;
pub use options::{ImportOptions, Side};

use super::weights::{NetworkConfig, save_new};
use super::{Input, NamedTensor, Network};
use checkpoint::unreadable;
use facts::Facts;
use recognise::{Fit, Layouts};

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
    /// What stands beside the weights, by key, and was not used; nothing of it was executed.
    pub passed_over: Vec<String>,
    /// Prefixes of other whole networks in the file.
    pub also: Vec<String>,
    /// Where the side is known from.
    pub side: Side,
    /// What a person should know before using the network.
    pub warnings: Vec<String>,
}

/// A network out of a file.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network, in its file's weights.
    pub network: Network,
    /// What was found.
    pub report: ImportReport,
    /// What the file, or a description beside it, says of the network.
    pub known: Known,
}

/// The floating-point tensors in the file `path`, by name, whatever network they are of.
///
/// # Errors
/// [`ImportError`] for a file that is damaged, hostile or of another kind.
pub fn tensors(path: &Path) -> Result<Vec<NamedTensor>, ImportError> {
    let contents = checkpoint::open(path)?;
    let read = |tensor: &stored::Stored| {
        let data = tensor.values().map_err(|problem| unreadable(path, contents.kind, problem))?;
        Ok(NamedTensor { name: tensor.name.clone(), shape: tensor.shape.clone(), data })
    };
    contents.tensors.iter().filter(|tensor| tensor.is_float()).map(read).collect()
}

/// Reads the network in `path`: a file, or a folder with one file of weights.
///
/// # Errors
/// [`ImportError`] for a file that is damaged, hostile, of another kind, of no architecture or of several, or not of the
/// one asked for.
pub fn import(path: &Path, options: &ImportOptions, device: &Device) -> Result<Imported, ImportError> {
    let file = if path.is_dir() { folder::weights_in(path)? } else { path.to_owned() };
    let path = file.as_path();
    let contents = checkpoint::open(path)?;
    let (beside, mut warnings) = folder::described_beside(path);
    let layouts = Layouts::new(device);
    let described = contents.facts.sides.iter().chain(&beside.sides).next().copied();
    let select = |side| {
        names::select(path, contents.tensors.clone(), &ImportOptions { side, ..options.clone() }, &layouts)
    };
    // A described side that fits no network is not the side of this one.
    let with_side = match (options.side, described) {
        (None, Some(side)) => select(Some(side)).ok().filter(|selection| !selection.fits.is_empty()),
        _ => None,
    };
    let from_description = with_side.is_some();
    let mut selection = match with_side {
        Some(selection) => selection,
        None => select(options.side).map_err(|error| without_tensors(error, contents.kind))?,
    };
    let mut exact = std::mem::take(&mut selection.fits);
    if exact.len() > 1 {
        // A description may tell apart what the tensors do not.
        let names: Vec<&String> = contents.facts.architectures.iter().chain(&beside.architectures).collect();
        if let Some(at) =
            exact.iter().position(|fit| names.iter().any(|name| **name == fit.architecture.to_string()))
        {
            exact = vec![exact.swap_remove(at)];
        }
    }
    if exact.len() > 1 {
        let candidates = exact.iter().map(Fit::name).collect();
        return Err(ImportError::Ambiguous { path: path.to_owned(), candidates });
    }
    let Some(fit) = exact.pop() else {
        return Err(no_network(path, &contents, &selection, options, &layouts));
    };
    if let Some(wanted) = options.classes.filter(|wanted| *wanted != fit.classes) {
        let (path, found) = (path.to_owned(), fit.classes);
        return Err(ImportError::Other { path, what: "classes", found, wanted });
    }
    let network = build(path, contents.kind, &fit, &selection, device)?;
    if contents.archive.as_ref().is_some_and(|archive| archive.unchecked()) {
        warnings.push(
            "the checksums in the file do not agree with its contents: it was saved without checksums, or it is damaged".into(),
        );
    }
    let input = network.input();
    let inside = Facts { normalisations: selection.normalisations.clone(), ..Facts::default() };
    let said_classes =
        beside.classes.iter().chain(&contents.facts.classes).find(|count| **count != fit.classes);
    if let Some(count) = said_classes {
        warnings
            .push(format!("a description speaks of {count} classes, but the network has {}", fit.classes));
    }
    let known = Known::of(&[inside, contents.facts.clone(), beside], input, fit.classes, &mut warnings);
    let renamed = fit
        .matched
        .iter()
        .filter(|(own, given)| own != given)
        .map(|(own, given)| (given.clone(), own.clone()));
    let report = ImportReport {
        kind: contents.kind,
        passed_over: passed_over(&contents, &selection),
        prefix: selection.prefix,
        matched: fit.matched.len(),
        parameters: network.parameters(),
        renamed: renamed.collect(),
        counters: selection.counters,
        outside: selection.outside.len(),
        also: selection.others,
        side: if from_description && fit.side == Side::Given { Side::Described } else { fit.side },
        warnings,
    };
    Ok(Imported { network, report, known })
}

/// A network with a fit's weights.
fn build(
    path: &Path,
    kind: &'static str,
    fit: &Fit,
    selection: &names::Selection,
    device: &Device,
) -> Result<Network, ImportError> {
    let network = fit.architecture.build(fit.classes, fit.input, 0, device)?;
    let shapes: BTreeMap<&str, &[usize]> =
        network.tensors().iter().map(|t| (t.name.as_str(), t.shape.as_slice())).collect();
    let mut state = Vec::with_capacity(fit.matched.len());
    for (name, given) in &fit.matched {
        let stored = &selection.tensors[given];
        let data = stored.values().map_err(|problem| unreadable(path, kind, problem))?;
        if name.ends_with(".running_var")
            && let Some(index) = data.iter().position(|v| *v < 0.0)
        {
            let (path, name, value) = (path.to_owned(), given.clone(), data[index]);
            return Err(ImportError::NegativeVariance { path, name, index, value });
        }
        state.push(NamedTensor { name: name.clone(), shape: shapes[name.as_str()].to_vec(), data });
    }
    Ok(network.load_state_dict(&state)?)
}

/// Why the tensors are those of no network.
fn no_network(
    path: &Path,
    contents: &torch::contents::Contents,
    selection: &names::Selection,
    options: &ImportOptions,
    layouts: &Layouts<'_>,
) -> ImportError {
    // A tensor that cannot be had is the reason, whatever network it belongs to.
    let broken = selection.tensors.values().find_map(|tensor| match &tensor.values {
        stored::Values::Broken(problem) => Some(format!("`{}`: {problem}", tensor.name)),
        _ => None,
    });
    if let Some(problem) = broken {
        return unreadable(path, contents.kind, problem);
    }
    let shapes = selection.tensors.iter().map(|(name, t)| (name.clone(), t.shape.clone())).collect();
    let mut fits = layouts.fits(&shapes, &selection.not_float, options);
    if fits.is_empty() {
        // Only an input or a class count that cannot be built leaves nothing to compare with.
        if let (Some(architecture), Some(side)) = (options.architecture, options.side)
            && let Err(error) = architecture.check(Input { channels: 3, side })
        {
            return error.into();
        }
        return unreadable(path, contents.kind, "nothing that it could be can be built");
    }
    let fit = fits.swap_remove(0);
    let (path, matched, differences) = (path.to_owned(), fit.matched.len(), fit.differences());
    let name = fit.architecture.to_string();
    if options.architecture.is_some() {
        return ImportError::WrongArchitecture { path, architecture: name, matched, differences };
    }
    let list = "`nasty networks` lists those that can be built";
    let mut help = match families::guess(&shapes) {
        Some(family) => format!("it looks like {family}; {list}"),
        None => list.to_owned(),
    };
    if let Some(kind) = kinds::of_program(contents.kind) {
        help = format!("{kind}; {help}");
    }
    ImportError::Unrecognised { path, nearest: name, matched, differences, help }
}

/// A better reason than that there are no tensors, for kinds of files that have one.
fn without_tensors(error: ImportError, kind: &str) -> ImportError {
    match (error, kinds::without_tensors(kind)) {
        (ImportError::NoTensors { path, .. }, Some(kinds::Kind { what, help })) => {
            ImportError::OtherKind { path, what, help }
        }
        (error, _) => error,
    }
}

/// What was not used, by its key at the top of the file.
fn passed_over(contents: &torch::contents::Contents, selection: &names::Selection) -> Vec<String> {
    let mut chosen: Vec<&str> = selection.tensors.values().map(|t| t.name.as_str()).collect();
    chosen.sort_unstable();
    let used = |key: &str| {
        let start = format!("{key}.");
        let from = chosen.partition_point(|name| *name < start.as_str());
        chosen.binary_search(&key).is_ok() || chosen.get(from).is_some_and(|name| name.starts_with(&start))
    };
    // Counters, what every module has, and what was used as the normalisation or the names of the classes.
    let facts = &contents.facts;
    let places = facts.normalisations.iter().chain(&selection.normalisations).map(|said| &said.place);
    let places: Vec<&String> = places.chain(facts.labels.iter().map(|said| &said.place)).collect();
    let known = |key: &str| {
        key.rsplit('.').next() == Some("num_batches_tracked")
            || key.starts_with('_')
            || key == "training"
            || places.iter().any(|place| place.contains(&format!("`{key}`")))
    };
    let mut told: Vec<String> = contents
        .entries
        .iter()
        .filter(|(key, _)| !used(key) && !known(key))
        .map(|(key, what)| format!("`{key}`: {what}"))
        .collect();
    let named = |name: &&String| !told.iter().any(|entry| entry.contains(name.as_str()));
    let names: Vec<String> =
        contents.names.iter().filter(named).map(|name| format!("the Python name {name}")).collect();
    told.extend(names);
    told
}

impl Imported {
    /// The network's description. `labels` are the classes' names; their numbers if there are none.
    ///
    /// # Errors
    /// [`ImportError::Description`] for a normalisation or names that do not fit.
    pub fn describe(
        &self,
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
        let framing = self.known.framing.as_ref().map(|(framing, _)| *framing);
        Ok(NetworkConfig::new(&self.network, mean, std, labels).framed(framing))
    }

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
        let config = self.describe(mean, std, labels)?;
        let occupied =
            folder.is_file() || std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            return Err(ImportError::Occupied { folder: folder.to_owned() });
        }
        save_new(folder, &self.network, &config)?;
        Ok(config)
    }
}
