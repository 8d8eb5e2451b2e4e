//! Reads an experiment file: chooses a scale, applies changes, and rejects unknown keys.

use super::error::ExperimentError;
use super::keys;
use super::part_kind::PartKind;
use super::settings::{PARTS, Scale, Settings};
use crate::lab::overrides::{OverrideError, value};
use crate::lab::words::{in_words, nearest};
use serde_json::{Map, Value};
use std::path::Path;

/// An experiment with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// The shipped one's name, or the file's without its extension.
    pub name: String,
    /// What it says.
    pub settings: Settings,
}

impl Experiment {
    /// The experiment `name`, a file's path or a shipped one's name, with `changes` of the form KEY=VALUE. `scale=NAME`
    /// chooses the scale; it is `small` if nobody says.
    ///
    /// # Errors
    /// [`ExperimentError`], naming the file, the key and the nearest known key.
    pub fn find(name: &str, changes: &[String]) -> Result<Self, ExperimentError> {
        let path = Path::new(name);
        if let Some(shipped) = super::shipped::ALL.iter().find(|shipped| shipped.name == name) {
            return Self::read(shipped.name, shipped.text, changes);
        }
        if path.extension().is_some_and(|e| e == "toml") || path.is_file() {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ExperimentError::Io { path: path.into(), source })?;
            let stem = path.file_stem().map_or_else(|| name.to_owned(), |s| s.to_string_lossy().into_owned());
            return Self::read(&stem, &text, changes);
        }
        let nearest = nearest(name, super::shipped::ALL.iter().map(|s| s.name)).unwrap_or_default();
        Err(ExperimentError::Unknown { name: name.to_owned(), nearest: nearest.to_owned() })
    }

    /// The experiment in `text`.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn read(name: &str, text: &str, changes: &[String]) -> Result<Self, ExperimentError> {
        let origin = || name.to_owned();
        let syntax =
            |e: toml::de::Error| ExperimentError::Syntax { origin: origin(), message: e.to_string() };
        let mut tree: Map<String, Value> = toml::from_str(text).map_err(syntax)?;
        let mut changed = Map::new();
        for change in changes {
            let form = || ExperimentError::Form(OverrideError::Form { text: change.clone() });
            let (key, text) =
                change.split_once('=').filter(|(k, v)| !k.is_empty() && !v.is_empty()).ok_or_else(form)?;
            // TOML has no null: "none" stays a word until it reaches its recipe.
            let value = Some(value(text)).filter(|v| !v.is_null()).unwrap_or_else(|| "none".into());
            insert(&mut changed, key, value).map_err(|()| ExperimentError::Value {
                origin: "command line".into(),
                key: key.into(),
                reason: "a value stands where this key needs a table".into(),
            })?;
        }
        let scale =
            changed.get("scale").or_else(|| tree.get("scale")).cloned().unwrap_or_else(|| "small".into());
        let value_error =
            |key: &str, reason: String| ExperimentError::Value { origin: origin(), key: key.into(), reason };
        let chosen: Scale = serde_json::from_value(scale.clone())
            .map_err(|_| value_error("scale", format!("expected paper, short or small, found {scale}")))?;
        let scales = tree.remove("scales");
        keys::check(name, &tree)?;
        match scales {
            Some(Value::Object(mut scales)) => {
                for (key, of_scale) in &scales {
                    let key: Scale = key.parse().map_err(|e| value_error("scales", e))?;
                    let table = of_scale.as_object();
                    let table = table
                        .ok_or_else(|| value_error(&format!("scales.{key}"), "expected a table".into()))?;
                    keys::check(name, table)?;
                }
                match scales.remove(&chosen.to_string()) {
                    Some(Value::Object(of_scale)) => merge(&mut tree, of_scale),
                    _ => return Err(value_error("scale", format!("this experiment has no scale {chosen}"))),
                }
            }
            Some(_) => return Err(value_error("scales", "expected a table".into())),
            None => {}
        }
        keys::check("command line", &changed)?;
        merge(&mut tree, changed);
        tree.insert("scale".into(), serde_json::to_value(chosen).expect("a scale is plain data"));
        gather_parts(&mut tree);
        let settings: Settings = serde_path_to_error::deserialize(Value::Object(tree)).map_err(|e| {
            let path = e.path().to_string();
            value_error(path.strip_prefix("parts.").unwrap_or(&path), in_words(&e.inner().to_string()))
        })?;
        if let Some(problem) = settings.problem() {
            return Err(ExperimentError::Impossible { origin: origin(), problem });
        }
        Ok(Self { name: name.to_owned(), settings })
    }

    /// The settings as an experiment file that says everything and needs no scale.
    pub fn to_toml(&self) -> String {
        let mut tree = match serde_json::to_value(&self.settings).expect("settings are plain data") {
            Value::Object(tree) => tree,
            other => unreachable!("a struct is a table, found {other}"),
        };
        if let Some(Value::Object(parts)) = tree.remove(PARTS) {
            tree.extend(parts);
        }
        toml::to_string(&tree).expect("settings are plain data")
    }
}

/// Puts `value` at the dotted path `key`.
fn insert(tree: &mut Map<String, Value>, key: &str, value: Value) -> Result<(), ()> {
    match key.split_once('.') {
        None => {
            tree.insert(key.to_owned(), value);
            Ok(())
        }
        Some((first, rest)) => {
            let inner = tree.entry(first).or_insert_with(|| Value::Object(Map::new()));
            insert(inner.as_object_mut().ok_or(())?, rest, value)
        }
    }
}

/// Lays `over` over `under`: tables are merged, all else is replaced.
fn merge(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// Moves the tables of parts from the top of a file to where [`Settings`] has them.
pub(in crate::lab) fn gather_parts(tree: &mut Map<String, Value>) {
    let mut parts = Map::new();
    for part in PartKind::ALL {
        if let Some(table) = tree.remove(part.key()) {
            parts.insert(part.key().to_owned(), table);
        }
    }
    if !parts.is_empty() {
        tree.insert(PARTS.to_owned(), Value::Object(parts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miette::Diagnostic;

    const FILE: &str = r#"
        format = 1
        title = "T"
        shows = "S"
        data = "cifar10"
        seeds = [0]
        [recipe]
        epochs = 9
        [teacher]
        architecture = "resnet18"
        [student]
        architecture = ["cnn", "same"]
        [scales.paper]
        [scales.short]
        recipe.epochs = 3
        [scales.small]
        data = "quickstart"
        recipe.batch = 64
        teacher.architecture = "cnn16"
    "#;

    fn read(changes: &[&str]) -> Result<Experiment, ExperimentError> {
        Experiment::read("t", FILE, &changes.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>())
    }

    fn message(changes: &[&str]) -> String {
        let e = read(changes).expect_err("must fail");
        format!("{e} | {}", e.help().map(|h| h.to_string()).unwrap_or_default())
    }

    #[test]
    fn a_scale_and_then_the_command_line_change_the_file() {
        let small = read(&[]).expect("fine").settings;
        assert_eq!((small.scale, small.data.clone()), (Scale::Small, vec![DataName::Quickstart]));
        assert_eq!((small.recipe["epochs"].as_u64(), small.recipe["batch"].as_u64()), (Some(9), Some(64)));
        let short = read(&["scale=short", "seeds=[0,1]", "recipe.epochs=5", "student.alpha=0.5"])
            .expect("fine")
            .settings;
        assert_eq!((short.recipe["epochs"].as_u64(), short.seeds), (Some(5), vec![0, 1]));
        assert_eq!(short.student.expect("students").alpha, [0.5]);
        let listed =
            read(&["seeds=0,1,2", "student.architecture=cnn,same", "data=folder:a,b"]).expect("lists");
        assert_eq!(listed.settings.seeds, [0, 1, 2]);
        assert_eq!(listed.settings.student.expect("students").architecture.len(), 2);
        assert_eq!(listed.settings.data, [DataName::Folder("a,b".into())]);
    }

    #[test]
    fn what_is_printed_is_the_same_experiment() {
        let experiment = read(&["scale=small", "teacher.omega=[0.01, 0.1]"]).expect("fine");
        let again = Experiment::read("t", &experiment.to_toml(), &[]).expect("its own file");
        assert_eq!(again, experiment);
    }

    #[test]
    fn wrong_files_are_explained() {
        assert_eq!(
            message(&["teacher.omgea=1"]),
            "command line: no key `teacher.omgea` in an experiment | did you mean `teacher.omega`?"
        );
        for (change, key) in
            [("lr=1", "recipe.learning_rate"), ("epochs=1", "recipe.epochs"), ("omega=1", "teacher.omega")]
        {
            assert!(
                message(&[change]).ends_with(&format!("| did you mean `{key}`?")),
                "{}",
                message(&[change])
            );
        }
        assert!(message(&["seeds=x"]).contains("expected a whole number, 0 or more, found \"x\""));
        assert!(message(&["scale=huge"]).contains("expected paper, short or small"));
        assert!(message(&["seeds"]).contains("KEY=VALUE"));
        assert!(message(&["teacher.architecture=resnet19"]).contains("resnet1"));
        assert!(message(&["data=[]"]).contains("empty list"));
        assert!(message(&["student.share=1.5"]).contains("student.share is 1.5"));
        assert!(message(&["student.architecture=none"]).contains("`none`"));
        assert!(message(&["seeds=[0,1,0]"]).contains("seeds names 0 twice"));
        assert!(message(&["student.recipe.data.side=32"]).contains("set recipe.data.side"));
        assert!(message(&["recipe.data.side=big"]).contains("a number of pixels"));
        let bad = FILE.replace("[recipe]", "[recip]");
        let e = Experiment::read("t", &bad, &[]).expect_err("unknown table");
        assert!(
            e.to_string().contains("`recip`") && e.help().expect("help").to_string().contains("`recipe`")
        );
        let unknown = Experiment::find("cifar11", &[]).expect_err("no such thing");
        assert!(unknown.help().expect("help").to_string().contains("`cifar10`"));
    }

    use crate::data::DataName;
}
