//! The keys of an experiment file, derived from the structs that read it, so that no key is listed twice.

use super::error::ExperimentError;
use super::fields::fields;
use super::part_kind::PartKind;
use super::settings::{PARTS, Settings, StudentSettings, TeacherSettings};
use crate::lab::words::{nearest, recipe_keys};
use serde_json::{Map, Value};

/// The keys inside the table `table`; none if they are free, or those of a recipe.
fn inside(table: &str) -> &'static [&'static str] {
    match table {
        "teacher" => fields::<TeacherSettings>(),
        "student" => fields::<StudentSettings>(),
        _ => PartKind::ALL.into_iter().find(|part| part.key() == table).map_or(&[], PartKind::keys),
    }
}

/// All keys, with dots between a table and its keys.
pub(super) fn all() -> Vec<String> {
    let own = fields::<Settings>().iter().copied().filter(|key| *key != PARTS);
    let mut keys = Vec::new();
    for key in own.chain(PartKind::ALL.map(PartKind::key)) {
        keys.push(key.to_owned());
        keys.extend(inside(key).iter().map(|inner| format!("{key}.{inner}")));
    }
    keys
}

/// Checks that every key of `tree` is known, down to tables whose keys are free.
pub(super) fn check(origin: &str, tree: &Map<String, Value>) -> Result<(), ExperimentError> {
    let known = all();
    let unknown = |key: String| {
        // A recipe's keys are free here, but somebody may have left out the table.
        let recipe: Vec<String> = recipe_keys().iter().map(|key| format!("recipe.{key}")).collect();
        let names = known.iter().chain(&recipe).map(String::as_str);
        let nearest = nearest(&key, names).unwrap_or_default().to_owned();
        ExperimentError::Key { origin: origin.into(), key, nearest }
    };
    for (name, value) in tree {
        if !known.contains(name) {
            return Err(unknown(name.clone()));
        }
        let inside = inside(name);
        let Value::Object(table) = value else { continue };
        if let Some(key) = table.keys().find(|key| !inside.is_empty() && !inside.contains(&key.as_str())) {
            return Err(unknown(format!("{name}.{key}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_structs() {
        let keys = all();
        for key in [
            "format",
            "seeds",
            "recipe",
            "teacher.omega",
            "teacher.nasty_recipe",
            "student.label_smoothing",
            "responses",
            "data_free.architecture",
            "inversion",
            "stands_for",
            "reference",
        ] {
            assert!(keys.iter().any(|k| k == key), "{key} in {keys:?}");
        }
        assert!(!keys.iter().any(|key| key == PARTS || key.starts_with("recipe.")), "{keys:?}");
    }
}
