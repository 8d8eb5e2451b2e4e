//! From a file's names of tensors to a network's.
//!
//! What is undone, and nothing else:
//! - a dictionary around the state dictionary ([`KEYS`]);
//! - a prefix that all names share, from wrappers of the network ([`PREFIXES`]);
//! - two names for the same place: `downsample` or `shortcut` in a block, and `fc`, `linear`, `classifier` or `head`
//!   for the last layer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::ImportError;
use super::checkpoint::Stored;

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
}

/// Picks the state dictionary under `key`, or the only one there is.
pub(super) fn select(path: &Path, all: Vec<Stored>, key: Option<&str>) -> Result<Selection, ImportError> {
    let under = |key: &str| {
        let start = format!("{key}.");
        all.iter().any(|t| t.is_float() && t.name.starts_with(&start))
    };
    let mut prefix = match key {
        Some(key) => format!("{key}."),
        None => {
            let found: Vec<_> = KEYS.into_iter().filter(|key| under(key)).collect();
            match found.as_slice() {
                [] => String::new(),
                [key] => format!("{key}."),
                _ => {
                    let keys = found.into_iter().map(String::from).collect();
                    return Err(ImportError::SeveralStateDicts { path: path.to_owned(), keys });
                }
            }
        }
    };
    let keys: BTreeSet<String> = all
        .iter()
        .filter(|t| t.is_float())
        .filter_map(|t| t.name.split_once('.'))
        .map(|(key, _)| key.to_owned())
        .collect();
    let (mut chosen, outside): (Vec<Stored>, Vec<Stored>) =
        all.into_iter().partition(|t| t.name.starts_with(&prefix));
    if !chosen.iter().any(Stored::is_float) {
        let (key, keys) = (key.map(String::from), keys.into_iter().take(8).collect());
        return Err(ImportError::NoTensors { path: path.to_owned(), key, keys });
    }
    while let Some(more) =
        PREFIXES.into_iter().find(|p| chosen.iter().all(|t| t.name[prefix.len()..].starts_with(p)))
    {
        prefix.push_str(more);
    }
    let before = chosen.len();
    chosen.retain(|t| t.name.rsplit('.').next() != Some(COUNTER));
    let counters = before - chosen.len();
    let (float, other): (Vec<Stored>, Vec<Stored>) = chosen.into_iter().partition(Stored::is_float);
    Ok(Selection {
        tensors: float.into_iter().map(|t| (t.name[prefix.len()..].to_owned(), t)).collect(),
        counters,
        outside: outside.into_iter().map(|t| t.name).collect(),
        not_float: other.into_iter().map(|t| t.name[prefix.len()..].to_owned()).collect(),
        prefix,
    })
}

/// One spelling for names that stand for the same place.
fn canonical(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let last_layer = parts.len() == 2 && matches!(parts[0], "fc" | "linear" | "classifier" | "head");
    let spelled = parts.iter().enumerate().map(|(i, part)| match *part {
        "downsample" => "shortcut",
        _ if last_layer && i == 0 => "fc",
        part => part,
    });
    spelled.collect::<Vec<_>>().join(".")
}

/// For each of `wanted`, the name in `given` that stands for the same place: itself, or else another spelling of it.
pub(super) fn pair<'a>(
    wanted: &[String],
    given: impl Iterator<Item = &'a String> + Clone,
) -> BTreeMap<String, &'a String> {
    let exact: BTreeSet<&String> = given.clone().collect();
    let mut spellings: BTreeMap<String, Vec<&'a String>> = BTreeMap::new();
    for name in given {
        spellings.entry(canonical(name)).or_default().push(name);
    }
    let mut pairs = BTreeMap::new();
    for name in wanted {
        if let Some(same) = exact.get(name) {
            pairs.insert(name.clone(), *same);
        } else if let Some([only]) = spellings.get(&canonical(name)).map(Vec::as_slice)
            && !wanted.contains(only)
        {
            pairs.insert(name.clone(), *only);
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paired_by_place_and_never_twice() {
        let names = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let wanted = names("linear.weight layer2.0.shortcut.0.weight conv1.weight fc1.weight");
        let given = names("fc.weight layer2.0.downsample.0.weight conv1.weight fc1.bias");
        let pairs = pair(&wanted, given.iter());
        let found: Vec<_> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(
            found,
            [
                ("conv1.weight", "conv1.weight"),
                ("layer2.0.shortcut.0.weight", "layer2.0.downsample.0.weight"),
                ("linear.weight", "fc.weight"),
            ]
        );
        // Two candidates for one place: none is taken.
        assert!(pair(&names("linear.weight"), names("fc.weight head.weight").iter()).is_empty());
    }
}
