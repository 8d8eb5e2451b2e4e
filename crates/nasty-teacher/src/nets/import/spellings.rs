//! Alternative names of a place in a network: `downsample` or `shortcut` in a block, and `fc`, `linear`, `classifier` or
//! `head` for the last layer.

use std::collections::{BTreeMap, BTreeSet};

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
