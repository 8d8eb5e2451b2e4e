//! `key.path=value` changes to a recipe. An unknown key is an error that suggests the nearest known one.

use super::words::{complete, in_words, leaves, nearest};
use crate::training::{Loss, NetworkRef, Objective, Optimiser, Recipe, Schedule};
use miette::Diagnostic;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A change that cannot be made.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum OverrideError {
    /// Not of the form `key=value`.
    #[error("expected KEY=VALUE, such as epochs=3, found `{text}`")]
    Form {
        /// What was found.
        text: String,
    },
    /// No such key.
    #[error("no key `{key}` in this recipe")]
    #[diagnostic(help("did you mean `{nearest}`?"))]
    Unknown {
        /// What was found.
        key: String,
        /// The nearest known key.
        nearest: String,
    },
    /// The value does not fit the key.
    #[error("`{key}` cannot be {value}: {reason}")]
    Value {
        /// The key.
        key: String,
        /// What was found.
        value: String,
        /// Why not.
        reason: String,
    },
    /// The recipe as a whole cannot run.
    #[error("this recipe cannot run: {0}")]
    Impossible(String),
}

impl crate::Classified for OverrideError {
    fn class(&self) -> crate::ErrorClass {
        crate::ErrorClass::Usage
    }
}

/// `recipe` with `changes` made in order, checked as a whole.
///
/// ```
/// use nasty_teacher::data::DataName;
/// use nasty_teacher::lab::{apply, defaults};
///
/// let network = "resnet18".parse()?;
/// let published = defaults::recipe(DataName::Cifar10, "digest".into(), network, defaults::Kind::Train);
/// let changes = ["epochs=3", "schedule.kind=cosine"].map(String::from);
/// let short = apply(published.clone(), &changes)?;
/// assert_eq!((published.epochs, short.epochs), (160, 3));
/// assert!(apply(published, &["epoch=3".into()]).unwrap_err().to_string().contains("`epoch`"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn apply(recipe: Recipe, changes: &[String]) -> Result<Recipe, OverrideError> {
    let mut recipe = recipe;
    for change in changes {
        let form = || OverrideError::Form { text: change.clone() };
        let (key, value) = change.split_once('=').ok_or_else(form)?;
        if key.is_empty() || value.is_empty() {
            return Err(form());
        }
        recipe = set(recipe, key, value)?;
    }
    match recipe.problem() {
        Some(problem) => Err(OverrideError::Impossible(problem)),
        None => Ok(recipe),
    }
}

fn set(recipe: Recipe, key: &str, text: &str) -> Result<Recipe, OverrideError> {
    change(recipe, key, value(text))
}

/// A copy of the recipe `of` with the value at the dotted path `key` replaced. It is not checked as a whole.
pub(super) fn change<T: Serialize + DeserializeOwned>(
    of: T,
    key: &str,
    value: Value,
) -> Result<T, OverrideError> {
    let refused = |reason: &str| OverrideError::Value {
        key: key.to_owned(),
        value: shown(&value),
        reason: reason.to_owned(),
    };
    let Value::Object(mut tree) = serde_json::to_value(&of).expect("plain data") else {
        unreachable!("what has keys is a struct")
    };
    complete(&mut tree);
    // Another kind has other keys: it comes with its own defaults.
    let whole = match key {
        "optimiser.kind" | "optimiser" if tree.contains_key("optimiser") => {
            let kind = value.as_str().and_then(Optimiser::of_kind);
            Some(("optimiser", serde_json::to_value(kind.ok_or_else(|| refused("expected sgd or adam"))?)))
        }
        "schedule.kind" | "schedule" if tree.contains_key("schedule") => {
            let kind = value.as_str().and_then(Schedule::of_kind);
            let kind = kind.ok_or_else(|| refused("expected constant, step, cosine or one-cycle"))?;
            Some(("schedule", serde_json::to_value(kind)))
        }
        // The same teacher, robbed another way.
        "objective.kind" | "objective" if teacher(&tree).is_some() => {
            let thieves = teacher(&tree).map(|teacher| Objective::thieves(&teacher)).unwrap_or_default();
            let named = thieves.iter().find(|thief| value.as_str() == Some(thief.name()));
            let names = || thieves.iter().map(Loss::name).collect::<Vec<_>>().join(", ");
            let named = named.ok_or_else(|| refused(&format!("expected one of {}", names())))?;
            Some(("objective", serde_json::to_value(named)))
        }
        _ => None,
    };
    if let Some((field, kind)) = whole {
        tree.insert(field.to_owned(), kind.expect("plain data"));
        return serde_json::from_value(Value::Object(tree)).map_err(|e| refused(&in_words(&e.to_string())));
    }
    let known = leaves(&tree, "");
    if !known.iter().any(|k| k == key) {
        let nearest = nearest(key, known.iter().map(String::as_str)).unwrap_or_default().to_owned();
        return Err(OverrideError::Unknown { key: key.to_owned(), nearest });
    }
    let (path, leaf) = key.rsplit_once('.').map_or((None, key), |(path, leaf)| (Some(path), leaf));
    let mut place = &mut tree;
    for part in path.into_iter().flat_map(|path| path.split('.')) {
        place = place.get_mut(part).and_then(Value::as_object_mut).expect("known keys lead through objects");
    }
    let text = shown(&value);
    place.insert(leaf.to_owned(), value);
    serde_path_to_error::deserialize(Value::Object(tree)).map_err(|e| OverrideError::Value {
        key: key.to_owned(),
        value: text,
        reason: in_words(&e.inner().to_string()),
    })
}

/// The teacher of a recipe whose objective is a thief's.
fn teacher(recipe: &Map<String, Value>) -> Option<NetworkRef> {
    recipe.get("objective")?.get("teacher")?.as_str().map(|teacher| NetworkRef(teacher.to_owned()))
}

/// A value as a person would type it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}

/// A value as it is typed: TOML where it is TOML (`3`, `0.1`, `true`, `[1, 2]`, `"x"`), `none`, words between commas, else a bare
/// string.
pub(super) fn value(text: &str) -> Value {
    if text == "none" {
        return Value::Null;
    }
    let parsed: Option<Map<String, Value>> = toml::from_str(&format!("x = {text}")).ok();
    parsed
        .and_then(|mut m| m.remove("x"))
        .or_else(|| list(text))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Words between commas: a list without brackets, which some shells would expand. A path's commas are its own.
fn list(text: &str) -> Option<Value> {
    let plain = |word: &str| {
        !word.is_empty()
            && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+'))
    };
    let words: Vec<&str> = text.split(',').collect();
    (words.len() > 1 && words.iter().all(|word| plain(word))).then(|| words.into_iter().map(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataName;
    use crate::lab::defaults::{Kind, recipe};
    use crate::nets::Precision;

    fn base() -> Recipe {
        let kind = Kind::Distill(NetworkRef("0123456789abcdef".into()));
        recipe(DataName::Cifar10, "d".into(), "resnet18".parse().expect("a name"), kind)
    }

    fn with(changes: &[&str]) -> Result<Recipe, OverrideError> {
        apply(base(), &changes.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn changes_reach_every_depth() {
        let r = with(&[
            "epochs=3",
            "data.subset=2000",
            "schedule.kind=cosine",
            "clip_norm=1",
            "objective.alpha=0.5",
            "precision=bf16",
        ])
        .expect("all keys are known");
        assert_eq!((r.epochs, r.data.subset, r.clip_norm), (3, Some(2000), Some(1.0)));
        assert_eq!((r.schedule.clone(), r.precision), (Schedule::Cosine, Precision::Bf16));
        assert_ne!(r.hash(), base().hash());
        assert_eq!(with(&["data.subset=10", "data.subset=none"]).expect("fine").hash(), base().hash());
        let listed = with(&["schedule.milestones=60,120"]).expect("a list without brackets");
        assert_eq!(listed.hash(), with(&["schedule.milestones=[60, 120]"]).expect("a list").hash());
        let photos =
            with(&["data.side=256/224", "augmentation.resized_crop_percent=8"]).expect("both are known");
        assert_eq!(photos.data.side.map(|side| side.to_string()).as_deref(), Some("256/224"));
        assert_eq!(photos.augmentation.resized_crop_percent, 8);
        assert_eq!(with(&["augmentation.resized_crop_percent=0"]).expect("fine").hash(), base().hash());
        assert_eq!(with(&["schedule.milestones=[1,2]"]).expect("fine").schedule, {
            Schedule::Step { milestones: vec![1, 2], factor: 0.1 }
        });
    }

    #[test]
    fn wrong_changes_are_explained() {
        let message = |changes: &[&str]| {
            let e = with(changes).expect_err("must fail");
            format!("{e} | {}", e.help().map(|h| h.to_string()).unwrap_or_default())
        };
        assert_eq!(message(&["epoch=3"]), "no key `epoch` in this recipe | did you mean `epochs`?");
        assert!(message(&["temprature=3"]).contains("`objective.temperature`"));
        assert!(
            message(&["epochs=three"])
                .contains("`epochs` cannot be three: expected a whole number, 0 or more")
        );
        assert!(message(&["optimiser.kind=lion"]).contains("expected sgd or adam"));
        assert!(message(&["epochs"]).contains("expected KEY=VALUE"));
        assert!(message(&["data.side=big"]).contains("`big` is no number of pixels"));
        assert!(
            message(&["data.side=100/224"]).contains("a central square of 224 pixels in pictures of 100")
        );
        assert!(message(&["batch=1"]).contains("expected at least 2"));
        assert!(message(&["parity=published"]).contains("data.validation must be 0"));
        assert!(message(&["objective.temperature=0"]).contains("at least 0.01"));
    }

    #[test]
    fn a_teacher_can_be_robbed_by_any_thief() {
        let changes = |changes: &[&str]| changes.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let teacher = NetworkRef("0123456789abcdef".into());
        for thief in Objective::thieves(&teacher) {
            let change = format!("objective.kind={}", thief.name());
            let recipe = apply(base(), &changes(&[&change])).expect("a recipe that can run");
            assert_eq!(recipe.objective, thief);
        }
        let dkd = apply(base(), &changes(&["objective.kind=dkd", "objective.others=2"])).expect("can run");
        let Objective::Dkd(dkd) = dkd.objective else { panic!("{:?}", dkd.objective) };
        assert_eq!((dkd.teacher, dkd.others, dkd.warmup), (teacher, 2.0, 20));
        let error = apply(base(), &changes(&["objective.kind=theft"])).expect_err("no such thief");
        assert!(error.to_string().contains("distillation, hard-label, dkd, dist, htc"), "{error}");
        let error =
            apply(base(), &changes(&["objective.kind=dkd", "objective.others=-1"])).expect_err("less than 0");
        assert!(error.to_string().contains("objective.others is -1"), "{error}");
    }
}
