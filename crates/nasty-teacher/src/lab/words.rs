//! The words people use: the field's other names for keys, and what a value should have been, without Rust's types.

use super::defaults::{self, Kind};
use crate::data::DataName;
use crate::training::NetworkRef;
use serde_json::{Map, Value};

/// Other names that the field has for a key, and the last part of the key here.
const ALIASES: &[(&str, &str)] = &[
    ("lr", "learning_rate"),
    ("learning", "learning_rate"),
    ("base_lr", "learning_rate"),
    ("lr_scheduler", "kind"),
    ("scheduler", "kind"),
    ("gamma", "factor"),
    ("lr_gamma", "factor"),
    ("steps", "milestones"),
    ("bs", "batch"),
    ("batchsize", "batch"),
    ("batch_size", "batch"),
    ("train_batch_size", "batch"),
    ("wd", "weight_decay"),
    ("decay", "weight_decay"),
    ("l2", "weight_decay"),
    ("n_epochs", "epochs"),
    ("num_epochs", "epochs"),
    ("max_epochs", "epochs"),
    ("t", "temperature"),
    ("temp", "temperature"),
    ("tau", "temperature"),
    ("kd_t", "temperature"),
    ("w", "omega"),
    ("random_seed", "seed"),
    ("manual_seed", "seed"),
    ("dtype", "precision"),
    ("amp", "precision"),
    ("label_smoothing", "smoothing"),
    ("model", "architecture"),
    ("arch", "architecture"),
    ("network", "architecture"),
    ("val", "validation"),
    ("val_size", "validation"),
    ("limit", "subset"),
    ("num_samples", "subset"),
    ("grad_clip", "clip_norm"),
    ("max_norm", "clip_norm"),
    ("clip_grad_norm", "clip_norm"),
];

/// Changes of more letters than this make another word.
const FAR: usize = 3;

fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// The last part of `word` as a key here would be spelled, with the field's other names translated.
fn translated(word: &str) -> String {
    let plain = last(word).trim_start_matches('-').to_lowercase().replace('-', "_");
    ALIASES.iter().find(|(alias, _)| *alias == plain).map_or(plain.clone(), |(_, key)| (*key).to_owned())
}

/// The candidate that `word` most likely means: one that the field also calls so, else the one with the smallest edit distance.
/// A key's last part counts as the key too.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let meant = translated(word);
    let distance = |candidate: &str| {
        let by_meaning = strsim::levenshtein(&meant, last(candidate));
        strsim::levenshtein(word, candidate).min(strsim::levenshtein(word, last(candidate))).min(by_meaning)
    };
    // Of equally near ones the least deep, the first of them.
    candidates.min_by_key(|candidate| (distance(candidate), candidate.matches('.').count()))
}

/// The keys that recipes have, of any kind of training.
pub(super) fn recipe_keys() -> Vec<String> {
    let other = NetworkRef(String::new());
    let kinds = [Kind::Train, Kind::Undermine(other.clone()), Kind::Distill(other)];
    let network = "resnet18".parse().expect("a network of the list");
    let keys = |kind| {
        let recipe = defaults::recipe(DataName::Cifar10, String::new(), network, kind);
        match serde_json::to_value(recipe).expect("plain data") {
            Value::Object(mut tree) => {
                complete(&mut tree);
                leaves(&tree, "")
            }
            other => unreachable!("a struct is a table, found {other}"),
        }
    };
    kinds.into_iter().flat_map(keys).collect()
}

/// Adds the keys that a recipe's file leaves out where they have their defaults, so that they can be set like the others.
pub(super) fn complete(recipe: &mut Map<String, Value>) {
    if let Some(Value::Object(objective)) = recipe.get_mut("objective")
        && objective.contains_key("omega")
    {
        objective.entry("guard").or_insert(Value::Null);
    }
    if recipe.contains_key("objective") {
        recipe.entry("growing").or_insert(0.0.into());
    }
    if recipe.contains_key("generator") {
        recipe.entry("temperature").or_insert(1.0.into());
    }
    for (table, key, default) in
        [("augmentation", "resized_crop_percent", Value::from(0)), ("start", "freeze", Value::Null)]
    {
        if let Some(Value::Object(table)) = recipe.get_mut(table) {
            table.entry(key).or_insert(default);
        }
    }
}

/// The key of a recipe that `word`, such as `lr`, most likely means; none if no key is near.
pub fn recipe_key(word: &str) -> Option<String> {
    let keys = recipe_keys();
    let key = nearest(word, keys.iter().map(String::as_str))?;
    let near = strsim::levenshtein(&translated(word), last(key)) < FAR;
    near.then(|| key.to_owned())
}

/// Dotted paths of all leaves.
pub(super) fn leaves(tree: &Map<String, Value>, prefix: &str) -> Vec<String> {
    tree.iter()
        .flat_map(|(name, value)| {
            let path = format!("{prefix}{name}");
            match value {
                Value::Object(inner) => leaves(inner, &format!("{path}.")),
                _ => vec![path],
            }
        })
        .collect()
}

/// What serde says of a value, in the words of a person who wrote it.
pub(super) fn in_words(message: &str) -> String {
    if let Some((found, expected)) =
        message.strip_prefix("unknown variant ").and_then(|m| m.split_once(", expected "))
    {
        return format!("expected {expected}, found {found}");
    }
    let typed = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let Some((found, expected)) = typed.and_then(|m| m.split_once(", expected ")) else {
        return message.to_owned();
    };
    let (expected, place) = match expected.find(" at line ") {
        Some(at) => expected.split_at(at),
        None => (expected, ""),
    };
    let expected = match expected {
        "usize" | "u8" | "u16" | "u32" | "u64" => "a whole number, 0 or more",
        "isize" | "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    let found = match found.split_once(' ') {
        Some(("string" | "integer" | "boolean", value)) => value.trim_matches('`'),
        Some(("floating", value)) => value.trim_start_matches("point ").trim_matches('`'),
        _ => match found {
            "null" => "none",
            "sequence" => "a list",
            "map" => "a table",
            other => other,
        },
    };
    format!("expected {expected}, found {found}{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_names_lead_to_keys() {
        for (word, key) in [
            ("lr", "learning_rate"),
            ("--lr", "learning_rate"),
            ("batch_size", "batch"),
            ("weight_decay", "optimiser.weight_decay"),
            ("temperature", "objective.temperature"),
            ("tau", "objective.temperature"),
            ("omega", "objective.omega"),
            ("alpha", "objective.alpha"),
            ("--epochs", "epochs"),
            ("epoch", "epochs"),
            ("optimizer.lr", "learning_rate"),
        ] {
            assert_eq!(recipe_key(word).as_deref(), Some(key), "{word}");
        }
        assert_eq!(recipe_key("publisher"), None);
    }

    #[test]
    fn values_are_refused_without_types_of_rust() {
        for (serde, words) in [
            ("invalid type: string \"x\", expected usize", "expected a whole number, 0 or more, found \"x\""),
            ("invalid value: integer `-1`, expected u64", "expected a whole number, 0 or more, found -1"),
            (
                "invalid type: floating point `0.5`, expected u64",
                "expected a whole number, 0 or more, found 0.5",
            ),
            ("invalid type: null, expected f64", "expected a number, found none"),
            ("invalid type: map, expected a sequence", "expected a list, found a table"),
            ("unknown variant `x`, expected `a` or `b`", "expected `a` or `b`, found `x`"),
            ("missing field `seed`", "missing field `seed`"),
        ] {
            assert_eq!(in_words(serde), words);
        }
    }
}
