//! `docs/keys.md`, the reference of a recipe's keys: written from the types, their documentation and the published recipes.

use super::defaults::{self, Kind};
use super::words::complete;
use crate::data::DataName;
use crate::training::{NetworkRef, Objective, Optimiser, Recipe, Schedule};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "# The keys of a recipe

`nasty train`, `undermine` and `distill` take changes to the published recipe as `KEY=VALUE`; experiments take them in their `recipe` tables. `--print-config`
shows the recipe that would run, and `--config FILE` takes a whole recipe back. The values below are those of the published recipe for a ResNet-18 on CIFAR-10.
A key that another choice of `kind` brings along has that choice before it. `none` stands for no value.

This page is made from the code: a test fails when it is stale.

| key | value | what it is |
|---|---|---|
";

/// A node of the schema, its reference followed.
fn followed<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    match node.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#')) {
        Some(path) => schema.pointer(path).expect("a schema refers to its own parts"),
        None => node,
    }
}

/// Its documentation, in a line; links between Rust's items mean nothing on a page.
fn said(node: &Value) -> String {
    let text = node.get("description").and_then(Value::as_str).unwrap_or_default();
    text.replace('\n', " ").replace("[`", "`").replace("`]", "`").replace('|', "\\|")
}

/// Words that a value may be, with what each means.
fn words(node: &Value) -> String {
    let Some(choices) = node.get("oneOf").and_then(Value::as_array) else { return String::new() };
    let choices = choices.iter().filter_map(|choice| {
        Some(format!("`{}`: {}", choice.get("const")?.as_str()?, said(choice).trim_end_matches('.')))
    });
    choices.collect::<Vec<_>>().join("; ")
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

/// The alternatives of a tagged choice: kind, schema.
fn kinds<'a>(schema: &'a Value, node: &'a Value) -> Vec<(&'a str, &'a Value)> {
    let all = node.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let tagged = all.map(|choice| followed(schema, choice));
    tagged.filter_map(|choice| Some((choice.pointer("/properties/kind/const")?.as_str()?, choice))).collect()
}

/// The settings that a choice comes with.
fn of_kind(key: &str, kind: &str) -> Value {
    let other = || NetworkRef(String::new());
    match key {
        "optimiser" => json(&Optimiser::of_kind(kind).expect("a kind")),
        "schedule" => json(&Schedule::of_kind(kind).expect("a kind")),
        _ => {
            let made = [Kind::Train, Kind::Undermine(other()), Kind::HardLabel(other())];
            let made = made.map(|kind| published(kind).objective);
            let mut all =
                Objective::thieves(&other()).into_iter().chain(made).map(|objective| json(&objective));
            all.find(|objective| objective["kind"] == kind)
                .expect("every objective is a thief's or a command's")
        }
    }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("plain data")
}

fn published(kind: Kind) -> Recipe {
    let network = "resnet18".parse().expect("a network of the list");
    defaults::recipe(DataName::Cifar10, String::new(), network, kind)
}

/// Adds a row for every leaf of `node`; `values` is what the published recipe has there.
fn rows(schema: &Value, node: &Value, key: &str, values: &Value, out: &mut String) {
    let node = followed(schema, node);
    let kinds = kinds(schema, node);
    if !kinds.is_empty() {
        let names: Vec<String> =
            kinds.iter().map(|(kind, of)| format!("`{kind}`: {}", said(of).trim_end_matches('.'))).collect();
        let chosen = shown(&values["kind"]);
        writeln!(out, "| `{key}.kind` | {chosen} | {} {} |", said(node), names.join("; ")).expect("a string");
        for (kind, of) in kinds {
            let inside = of_kind(key, kind);
            for (name, part) in properties(of).iter().filter(|(name, _)| *name != "kind") {
                let value = shown(&inside[name.as_str()]);
                let what = said(part);
                writeln!(out, "| {kind}: `{key}.{name}` | {value} | {what} |").expect("a string");
            }
        }
        return;
    }
    let dotted = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    // Which format it is, nobody chooses.
    for (name, part) in properties(node).iter().filter(|(name, _)| *name != "format") {
        let inner = followed(schema, part);
        if inner.get("properties").is_some() || !self::kinds(schema, inner).is_empty() {
            rows(schema, part, &dotted(name), &values[name.as_str()], out);
        } else {
            let (what, words) = (said(part), words(inner));
            let what = if words.is_empty() { what.to_owned() } else { format!("{what} {words}") };
            writeln!(out, "| `{}` | {} | {what} |", dotted(name), shown(&values[name.as_str()]))
                .expect("a string");
        }
    }
}

fn properties(node: &Value) -> &Map<String, Value> {
    node.get("properties").and_then(Value::as_object).expect("a table")
}

/// After a change of the types `INSTA_UPDATE=always` writes the page.
#[test]
fn the_reference_of_keys_is_that_of_the_types() {
    let schema = serde_json::to_value(schemars::schema_for!(Recipe)).expect("JSON");
    let Value::Object(mut recipe) = json(&published(Kind::Train)) else {
        unreachable!("a struct is a table")
    };
    complete(&mut recipe);
    let recipe = Value::Object(recipe);
    let mut page = HEAD.to_owned();
    rows(&schema, &schema, "", &recipe, &mut page);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/keys.md");
    if std::env::var("INSTA_UPDATE").as_deref() == Ok("always") {
        std::fs::write(&path, &page).expect("writable");
    }
    let kept = std::fs::read_to_string(&path).expect("the committed page");
    assert!(kept == page, "{} is stale: INSTA_UPDATE=always writes it", path.display());
    for key in
        ["`epochs`", "`data.subset`", "self-undermining: `objective.omega`", "sgd: `optimiser.momentum`"]
    {
        assert!(page.contains(key), "{key} in {page}");
    }
}
