use super::super::report::{Outcome, REPORT_FILE};
use super::super::{AuditError, Report, verdict};
use super::*;
use crate::Classified;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;

/// `report.json`: the rows, and the verdict over them.
#[derive(Serialize, JsonSchema)]
struct Document {
    verdict: super::super::Verdict,
    #[serde(flatten)]
    report: Report,
}

/// The committed schema is that of the types. After a change of the types, and of `SCHEMA` where old reports no longer
/// fit, `INSTA_UPDATE=always` writes it.
#[test]
fn the_committed_schema_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas/audit-report-1.json");
    let mut schema = schemars::schema_for!(Document);
    schema.insert("title".into(), "nasty audit report, schema 1".into());
    let text = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
    if std::env::var("INSTA_UPDATE").as_deref() == Ok("always") {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        std::fs::write(&path, &text).expect("writable");
    }
    assert!(
        std::fs::read_to_string(&path).expect("the committed schema") == text,
        "{} is stale",
        path.display()
    );
}

/// The program's tests read a report that is kept in a file; `INSTA_UPDATE=always` writes it.
#[test]
fn the_committed_sample_is_of_this_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit").join(REPORT_FILE);
    let report = sample();
    let text = super::super::to_json(&report, &verdict(&report)) + "\n";
    if std::env::var("INSTA_UPDATE").as_deref() == Ok("always") {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        std::fs::write(&path, &text).expect("writable");
    }
    assert!(std::fs::read_to_string(&path).expect("the sample") == text, "{} is stale", path.display());
}

#[test]
fn a_produced_report_is_valid_and_is_read_again() {
    let mut report = sample();
    report.rows[3].outcome = Outcome::NoEvidence { reason: "the loss was not finite".into() };
    report.rows[4].outcome = Outcome::Skipped { reason: "it needs logits".into() };
    let text = super::super::to_json(&report, &verdict(&report));
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas/audit-report-1.json");
    let schema = std::fs::read_to_string(path).expect("the committed schema");
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
    assert_eq!(errors, [""; 0]);
    // The schema is not one that admits anything.
    for (pointer, wrong) in
        [("/schema", "1"), ("/rows/0/outcome/status", "fine"), ("/verdict/reliable", "yes")]
    {
        let mut changed = value.clone();
        *changed.pointer_mut(pointer).expect("a field") = wrong.into();
        assert!(!validator.is_valid(&changed), "{pointer}");
    }

    let folder = tempfile::tempdir().expect("temp");
    std::fs::write(folder.path().join(REPORT_FILE), &text).expect("written");
    assert_eq!(Report::read(folder.path()).expect("read"), report);
    assert_eq!(Report::read(&folder.path().join(REPORT_FILE)).expect("read"), report);
}

#[test]
fn reports_that_contradict_themselves_are_refused() {
    let folder = tempfile::tempdir().expect("temp");
    let path = folder.path().join("r.json");
    let refused = |text: &str| {
        std::fs::write(&path, text).expect("written");
        let error = Report::read(&path).expect_err("not a report");
        assert_eq!(error.class(), crate::ErrorClass::Data);
        error.to_string()
    };
    let changed = |pointer: &str, new: serde_json::Value| {
        let mut value = serde_json::to_value(defended()).expect("JSON");
        *value.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = new;
        refused(&value.to_string())
    };
    assert!(refused("{").contains("not an audit's report"));
    assert!(refused("[]").contains("no number `schema`"));
    assert!(changed("/schema", 2.into()).contains("schema 2, expected 1"));
    assert!(changed("/victim/accuracy", 90.into()).contains("`victim.accuracy` is 90, expected 0 to 1"));
    assert!(changed("/victim/accuracy", 0.5.into()).contains("`victim` has an accuracy of 0.5, but 0.9"));
    assert!(changed("/rows/0/outcome/accuracy", 0.5.into()).contains("of its images are right"));
    assert!(changed("/rows/0/share", 2.into()).contains("row 0, `hard-label`: `share` is 2"));
    assert!(changed("/rows/0/signal", "nothing".into()).contains("asks nobody"));
    assert!(changed("/rows/0/outcome/status", "fine".into()).contains("`rows[0].outcome"));
    assert!(changed("/right/victim", "8:ff".into()).contains("8 images, expected 2000"));
    assert!(changed("/right/victim", "ff".into()).contains("expected `IMAGES:HEX`"));
    assert!(changed("/probes/failed", 5000.into()).contains("5000 of 4000 queries"));
    let missing = Report::read(&folder.path().join("none.json")).expect_err("no file");
    assert!(matches!(missing, AuditError::Io { .. }));
}
