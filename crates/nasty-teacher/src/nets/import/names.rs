//! Maps a file's tensor names to a network's.
//!
//! Every prefix of the names is tried, and the one that holds a whole network is used: from a dictionary around the
//! state dictionary, from a wrapper of the network, or from a larger module that contains the network. Everything
//! outside it (a loss's own weight, a counter of averaged steps, an optimiser) is skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::error::ImportError;
use super::facts::{Figures, PAIRS, Said, normalisation};
use super::options::ImportOptions;
use super::recognise::{Fit, Layouts, Shapes};
use super::stored::Stored;

/// Keys that people put a state dictionary under.
pub(super) const KEYS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// Prefixes left by `DataParallel`, `torch.compile` and by networks that are members of another.
pub(super) const PREFIXES: [&str; 6] = ["module.", "_orig_mod.", "model.", "net.", "network.", "backbone."];

/// Counters that PyTorch keeps with batch-norms and that take no part in the computation.
const COUNTER: &str = "num_batches_tracked";

/// The tensors of one state dictionary.
pub(super) struct Selection {
    /// Float tensors by their names in the network.
    pub(super) tensors: BTreeMap<String, Stored>,
    /// What was taken off all names, such as `state_dict.module.`.
    pub(super) prefix: String,
    /// Batch-norm counters passed over.
    pub(super) counters: usize,
    /// Names of other tensors of the file, outside the state dictionary.
    pub(super) outside: Vec<String>,
    /// Names of tensors of the state dictionary that are no floating-point numbers.
    pub(super) not_float: Vec<String>,
    /// The networks that it is, if it is whole.
    pub(super) fits: Vec<Fit>,
    /// Prefixes of other whole networks in the file.
    pub(super) others: Vec<String>,
    /// Normalisations among the tensors.
    pub(super) normalisations: Vec<Said<Figures>>,
}

/// Picks the state dictionary under the key asked for, or the only one there is. `all` is sorted by name.
pub(super) fn select(
    path: &Path,
    all: Vec<Stored>,
    options: &ImportOptions,
    layouts: &Layouts<'_>,
) -> Result<Selection, ImportError> {
    let (normalisations, all) = take_normalisations(all);
    let key = options.key.as_deref();
    let start = key.map_or_else(String::new, |key| format!("{}.", key.trim_end_matches('.')));
    if !all.iter().any(|t| t.is_float() && t.name.starts_with(&start)) {
        let tops = all.iter().filter(|t| t.is_float()).filter_map(|t| t.name.split_once('.'));
        let keys: BTreeSet<String> = tops.map(|(key, _)| key.to_owned()).collect();
        let (key, keys) = (key.map(String::from), keys.into_iter().take(8).collect());
        return Err(ImportError::NoTensors { path: path.to_owned(), key, keys });
    }
    let mut whole: Vec<(String, Vec<Fit>)> = prefixes(&all, &start)
        .into_iter()
        .filter_map(|prefix| {
            let part = Part::under(&all, &prefix);
            let fits =
                if part.not_float.is_empty() { layouts.whole(&part.shapes(), options) } else { Vec::new() };
            (!fits.is_empty()).then_some((prefix, fits))
        })
        .collect();
    // The same tensors under two names are one network.
    let mut distinct: Vec<Part<'_>> = Vec::new();
    whole.retain(|(prefix, _)| {
        let part = Part::under(&all, prefix);
        let new = !distinct.iter().any(|other| other.is_same(&part));
        distinct.extend(new.then_some(part));
        new
    });
    let choice = match whole.len() {
        0 => None,
        1 => Some(0),
        _ => {
            // What stands under a usual key is meant, and others, such as its moving average, are not.
            let usual = |prefix: &str| {
                KEYS.iter().any(|key| prefix.starts_with(&format!("{key}.")) || prefix.is_empty())
            };
            let found: Vec<usize> = (0..whole.len()).filter(|&i| usual(&whole[i].0)).collect();
            match found[..] {
                [one] => Some(one),
                _ => {
                    let keys = whole.iter().map(|(prefix, _)| shown(prefix)).collect();
                    return Err(ImportError::SeveralStateDicts { path: path.to_owned(), keys });
                }
            }
        }
    };
    let (prefix, fits) = match choice {
        Some(choice) => whole.swap_remove(choice),
        None => (usual_prefix(path, &all, key, &start)?, Vec::new()),
    };
    let others = whole.into_iter().map(|(prefix, _)| shown(&prefix)).collect();
    let part = Part::under(&all, &prefix);
    let (counters, not_float) = (part.counters, part.not_float.clone());
    let (chosen, outside): (Vec<Stored>, Vec<Stored>) =
        all.into_iter().partition(|t| t.name.starts_with(&prefix));
    let chosen = chosen.into_iter().filter(|t| t.is_float() && !is_counter(&t.name));
    Ok(Selection {
        tensors: chosen.map(|t| (t.name[prefix.len()..].to_owned(), t)).collect(),
        counters,
        outside: outside.into_iter().map(|t| t.name).collect(),
        not_float,
        prefix,
        fits,
        others,
        normalisations,
    })
}

fn is_counter(name: &str) -> bool {
    name.rsplit('.').next() == Some(COUNTER)
}

/// A prefix as `--key` takes it.
fn shown(prefix: &str) -> String {
    prefix.trim_end_matches('.').to_owned()
}

/// The tensors under a prefix.
struct Part<'a> {
    prefix: String,
    float: Vec<&'a Stored>,
    not_float: Vec<String>,
    counters: usize,
}

impl<'a> Part<'a> {
    fn under(all: &'a [Stored], prefix: &str) -> Self {
        let mut part =
            Self { prefix: prefix.to_owned(), float: Vec::new(), not_float: Vec::new(), counters: 0 };
        // Sorted by name, they stand one behind the other.
        let from = all.partition_point(|t| t.name.as_str() < prefix);
        for tensor in all[from..].iter().take_while(|t| t.name.starts_with(prefix)) {
            if is_counter(&tensor.name) {
                part.counters += 1;
            } else if tensor.is_float() {
                part.float.push(tensor);
            } else {
                part.not_float.push(tensor.name[prefix.len()..].to_owned());
            }
        }
        part
    }

    fn shapes(&self) -> Shapes {
        self.float.iter().map(|t| (t.name[self.prefix.len()..].to_owned(), t.shape.clone())).collect()
    }

    /// Whether both are the same numbers under the same names.
    fn is_same(&self, other: &Self) -> bool {
        let name = |part: &Self, tensor: &Stored| tensor.name[part.prefix.len()..].to_owned();
        self.float.len() == other.float.len()
            && self
                .float
                .iter()
                .zip(&other.float)
                .all(|(a, b)| name(self, a) == name(other, b) && a.is_same(b))
    }
}

/// Every prefix, from `start` on, under which there are floating-point tensors; the shortest first.
fn prefixes(all: &[Stored], start: &str) -> Vec<String> {
    let mut found = BTreeSet::new();
    for tensor in all.iter().filter(|t| t.is_float() && t.name.starts_with(start)) {
        found.insert(start.to_owned());
        let dots = tensor.name.match_indices('.').map(|(at, _)| at + 1).filter(|at| *at > start.len());
        found.extend(dots.map(|at| tensor.name[..at].to_owned()));
    }
    let mut found: Vec<String> = found.into_iter().collect();
    found.sort_by_key(String::len);
    found
}

/// Where the weights of a network that is none of ours most likely are, for the message.
fn usual_prefix(path: &Path, all: &[Stored], key: Option<&str>, start: &str) -> Result<String, ImportError> {
    let under = |key: &&str| {
        let start = format!("{key}.");
        all.iter().any(|t| t.is_float() && t.name.starts_with(&start))
    };
    let mut prefix = start.to_owned();
    if key.is_none() {
        let found: Vec<_> = KEYS.into_iter().filter(under).collect();
        match found.as_slice() {
            [] => {}
            [key] => prefix = format!("{key}."),
            _ => {
                let keys = found.into_iter().map(String::from).collect();
                return Err(ImportError::SeveralStateDicts { path: path.to_owned(), keys });
            }
        }
    }
    let shared = |prefix: &str, more: &str| {
        all.iter().filter(|t| t.name.starts_with(prefix)).all(|t| t.name[prefix.len()..].starts_with(more))
    };
    while let Some(more) = PREFIXES.into_iter().find(|more| shared(&prefix, more)) {
        prefix.push_str(more);
    }
    Ok(prefix)
}

/// Takes the means and standard deviations of channels out of the tensors: a network that normalises its own input
/// keeps them as buffers.
fn take_normalisations(all: Vec<Stored>) -> (Vec<Said<Figures>>, Vec<Stored>) {
    let small =
        |t: &Stored| t.is_float() && matches!(t.shape.iter().product::<usize>(), 1..=4) && t.claimed() <= 32;
    let by_name: BTreeMap<&str, &Stored> =
        all.iter().filter(|t| small(t)).map(|t| (t.name.as_str(), t)).collect();
    let (mut found, mut taken) = (Vec::new(), BTreeSet::new());
    for (name, tensor) in &by_name {
        let (parent, last) = name.rsplit_once('.').map_or(("", *name), |(parent, last)| (parent, last));
        let Some([_, std]) = PAIRS.iter().find(|[mean, _]| *mean == last) else { continue };
        let other = if parent.is_empty() { (*std).to_owned() } else { format!("{parent}.{std}") };
        let Some(std) = by_name.get(other.as_str()) else { continue };
        let (Ok(mean), Ok(deviation)) = (tensor.values(), std.values()) else { continue };
        if let Some(what) = normalisation(mean, deviation) {
            let place = format!("its tensors `{name}` and `{other}`");
            found.push(Said { what, place });
            taken.extend([(*name).to_owned(), other]);
        }
    }
    let rest = all.iter().filter(|t| !taken.contains(&t.name)).cloned().collect();
    (found, rest)
}
