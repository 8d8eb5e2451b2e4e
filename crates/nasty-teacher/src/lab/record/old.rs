//! Converts records of version 1, written by version 0.1.0, to the current format.

use crate::lab::experiment::gather_parts;
use serde_json::{Map, Value, json};

/// Makes a record of version 1 one of today's version `format`. What it does not understand stays as it is, and is refused when it
/// is read.
pub(super) fn upgrade(record: &mut Value, format: u32) {
    record["format"] = json!(format);
    if let Some(settings) = record.get_mut("settings").and_then(Value::as_object_mut) {
        gather_parts(settings);
    }
    let command = record.get("command").and_then(Value::as_str).unwrap_or_default();
    record["changes"] = command.split_whitespace().filter(|word| word.contains('=')).collect();
    for entry in record.get_mut("entries").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(entry) = entry.as_object_mut() {
            upgrade_entry(entry);
        }
    }
}

fn upgrade_entry(entry: &mut Map<String, Value>) {
    let role = entry.get("role").cloned().unwrap_or_default();
    let Some(place) = entry.get_mut("place").and_then(Value::as_object_mut) else { return };
    // What did not apply was null; without undermining ω was 0 and its τ 1.
    place.retain(|_, value| !value.is_null());
    let normal = role == "normal-teacher";
    if normal || place.get("adversary").is_some_and(|adversary| adversary == "none") {
        place.remove("omega");
        place.remove("teacher_temperature");
    }
    if normal {
        place.remove("adversary");
    }
    // Roles named the teacher and the layer, which are axes now.
    let old = |name: &str| role.get(name).cloned();
    let part = if let Some(side) = old("data-free") {
        place.insert("side".into(), side);
        "data_free"
    } else if let Some(side) = old("inversion") {
        place.insert("side".into(), side);
        "inversion"
    } else if let Some(Value::Array(of)) = old("embedding") {
        for (key, value) in ["side", "layer"].into_iter().zip(of) {
            place.insert(key.into(), value);
        }
        "embedding"
    } else {
        return;
    };
    entry.insert("role".into(), part.into());
}

#[cfg(test)]
mod tests {
    use super::super::{RECORD_FORMAT, Record};
    use super::*;
    use crate::lab::experiment::{AxisKind, PartKind, Role, Side, Source};

    /// As version 0.1.0 wrote it, shortened.
    const OLD: &str = r#"{
      "format": 1, "name": "t", "command": "nasty run t seeds=[0,1]",
      "settings": {
        "format": 1, "title": "T", "shows": "S", "scale": "small", "data": ["cifar10"], "seeds": [0, 1],
        "teacher": {"architecture": ["cnn"], "adversary": ["same"]},
        "embedding": {"images": 1000}, "data_free": {"architecture": ["cnn4"]}
      },
      "entries": [
        {"role": "normal-teacher", "seed": 0, "task": "a", "place": {"data": "cifar10", "teacher": "cnn",
          "adversary": "same", "omega": 0.0, "teacher_temperature": 1.0, "student": null, "temperature": null,
          "alpha": null, "share": null}},
        {"role": {"student": "hard-labels"}, "seed": 0, "task": "b", "place": {"data": "cifar10", "teacher": "cnn",
          "adversary": "same", "omega": 0.04, "teacher_temperature": 4.0, "student": "cnn4", "temperature": null,
          "alpha": 0.5, "share": null}},
        {"role": {"embedding": ["nasty", "features"]}, "seed": 1, "task": "c", "place": {"data": "cifar10",
          "teacher": "cnn", "adversary": "same", "omega": 0.04, "teacher_temperature": 4.0, "student": null,
          "temperature": null, "alpha": null, "share": null}},
        {"role": "responses", "seed": 1, "task": "d", "place": {"data": "cifar10", "teacher": "cnn",
          "adversary": "same", "omega": 0.04, "teacher_temperature": 4.0, "student": null}}
      ],
      "tasks": {"a": "normal teacher cnn"}
    }"#;

    #[test]
    fn a_record_of_version_1_is_replaced_when_its_experiment_runs_again() {
        let folder = tempfile::tempdir().expect("temp");
        let store = crate::lab::Store::open(folder.path()).expect("a store");
        let experiments = folder.path().join("experiments");
        std::fs::create_dir_all(&experiments).expect("writable");
        std::fs::write(experiments.join("t-small-01234567.json"), OLD).expect("writable");
        let records = store.records().expect("it is read");
        let [record] = &records[..] else { panic!("one record") };
        store.keep(record).expect("writable");
        assert_eq!(store.records().expect("it is read"), records, "it is there once");
        assert!(experiments.join(record.file_name()).is_file());
        assert!(!experiments.join("t-small-01234567.json").exists());
        std::fs::write(experiments.join("later.json"), r#"{"format": 9}"#).expect("writable");
        let error = store.records().expect_err("a later version").to_string();
        assert!(error.contains("later.json") && error.contains("format 9"), "{error}");
        store.keep(record).expect("another file's damage does not matter");
    }

    #[test]
    fn records_of_version_1_are_read() {
        let mut json = serde_json::from_str(OLD).expect("JSON");
        upgrade(&mut json, RECORD_FORMAT);
        let record: Record = serde_json::from_value(json).expect("a record of today");
        assert_eq!((record.format, record.changes), (RECORD_FORMAT, vec!["seeds=[0,1]".to_owned()]));
        assert_eq!(record.settings.parts[&PartKind::Embedding]["images"], 1000);
        let [normal, student, map, answers] = &record.entries[..] else { panic!("four entries") };
        assert_eq!((normal.role, normal.place.get_number(AxisKind::Omega)), (Role::NormalTeacher, None));
        assert_eq!(student.role, Role::Student(Source::HardLabels));
        assert_eq!(student.place.get_number(AxisKind::Alpha), Some(0.5));
        assert!(normal.place.agrees(&student.place));
        assert_eq!((map.role, map.place.side()), (Role::Part(PartKind::Embedding), Some(Side::Nasty)));
        assert_eq!(map.place.text(AxisKind::Layer), "features");
        assert_eq!(answers.role, Role::Part(PartKind::Responses));
    }
}
