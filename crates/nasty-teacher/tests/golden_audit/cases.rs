//! Reading cases: a field that nobody reads is a failure, as is a file without cases.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Map, Value};

/// A file of the folder of golden values.
pub(crate) fn file(name: &str) -> Value {
    let folder = std::env::var_os("NASTY_GOLDEN_AUDIT_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden-audit"), PathBuf::from);
    let path = folder.join(name);
    let text =
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{} is no JSON: {e}", path.display()))
}

/// The cases of a file that is a list.
pub(crate) fn list(name: &str) -> Vec<Value> {
    match file(name) {
        Value::Array(cases) if !cases.is_empty() => cases,
        _ => panic!("{name}: expected a list of cases"),
    }
}

/// An object whose fields must all be read.
pub(crate) struct Case<'a> {
    what: String,
    fields: &'a Map<String, Value>,
    read: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(what: String, value: &'a Value) -> Self {
        let fields = value.as_object().unwrap_or_else(|| panic!("{what}: expected an object"));
        Self { what, fields, read: RefCell::default() }
    }

    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    pub(crate) fn maybe(&self, key: &str) -> Option<&'a Value> {
        let (key, value) = self.fields.get_key_value(key)?;
        self.read.borrow_mut().insert(key);
        Some(value)
    }

    pub(crate) fn get(&self, key: &str) -> &'a Value {
        self.maybe(key).unwrap_or_else(|| panic!("{}: no `{key}`", self.what))
    }

    pub(crate) fn inner(&self, key: &str) -> Case<'a> {
        Case::new(format!("{} {key}", self.what), self.get(key))
    }

    pub(crate) fn number(&self, key: &str) -> f64 {
        number(self.get(key), &self.what)
    }

    pub(crate) fn whole(&self, key: &str) -> usize {
        self.get(key).as_u64().unwrap_or_else(|| panic!("{}: `{key}` is no whole number", self.what)) as usize
    }

    pub(crate) fn text(&self, key: &str) -> &'a str {
        self.get(key).as_str().unwrap_or_else(|| panic!("{}: `{key}` is no text", self.what))
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.get(key).as_bool().unwrap_or_else(|| panic!("{}: `{key}` is no truth value", self.what))
    }

    pub(crate) fn vector(&self, key: &str) -> Vec<f64> {
        vector(self.get(key), &self.what)
    }

    pub(crate) fn rows(&self, key: &str) -> Vec<Vec<f64>> {
        rows(self.get(key), &self.what)
    }

    pub(crate) fn wholes(&self, key: &str) -> Vec<usize> {
        self.vector(key).into_iter().map(|v| v as usize).collect()
    }

    /// Fails if a field was not read.
    pub(crate) fn finish(self) {
        let read = self.read.borrow();
        let left: Vec<&String> = self.fields.keys().filter(|key| !read.contains(key.as_str())).collect();
        assert!(left.is_empty(), "{}: not recognised: {left:?}", self.what);
    }
}

fn number(value: &Value, what: &str) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{what}: {value} is no number"))
}

pub(crate) fn vector(value: &Value, what: &str) -> Vec<f64> {
    let items = value.as_array().unwrap_or_else(|| panic!("{what}: expected a list of numbers"));
    items.iter().map(|item| number(item, what)).collect()
}

pub(crate) fn rows(value: &Value, what: &str) -> Vec<Vec<f64>> {
    let items = value.as_array().unwrap_or_else(|| panic!("{what}: expected a list of rows"));
    items.iter().map(|item| vector(item, what)).collect()
}

/// Fails if any number is further away than `tolerance`.
pub(crate) fn near(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: another length");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= tolerance, "{what}: {f} in place of {e} at {i}, off by {:e}", f - e);
    }
}

/// As [`near`], relative to the largest expected number where that is above 1.
pub(crate) fn close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    let scale = expected.iter().fold(1.0f64, |most, v| most.max(v.abs()));
    near(found, expected, tolerance * scale, what);
}
