//! Templates of requests, for servers that speak no known protocol: JSON with a place for the image, and where the scores stand
//! in the answer.
//!
//! ```json
//! {
//!   "headers": { "Accept": "application/json" },
//!   "body": { "inputs": { "image": "$png" } },
//!   "scores": "/result/scores"
//! }
//! ```
//!
//! In `body`, the text `$image` becomes the image's numbers as nested lists, `$flat` the same as one list, and `$png` the
//! picture as PNG in base64. `scores` is a JSON pointer (RFC 6901) to a list of numbers, or to a list of objects with `label` and
//! `score`, which need the classes' names. Each request has one image.

use super::client::{Client, Message, SMALL, Trouble};
use super::data;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Bytes of a template.
const LONGEST: u64 = 1 << 20;
const MARKS: [&str; 3] = ["$image", "$flat", "$png"];

/// How requests look.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Template {
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Value,
    scores: String,
    /// As it stands in the file: part of the victim's identity.
    #[serde(skip)]
    pub(super) text: String,
}

/// An image as it is sent.
pub(super) struct Shown<'a> {
    /// Its numbers, encoded.
    pub(super) values: &'a [f32],
    /// Their axes.
    pub(super) axes: [usize; 3],
    /// Its pixels `[side, side, channels]`.
    pub(super) pixels: &'a [u8],
    pub(super) side: usize,
}

impl Template {
    /// The template in the file at `path`.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
        file.take(LONGEST).read_to_string(&mut text).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::of(&text).map_err(|problem| format!("{}: {problem}", path.display()))
    }

    fn of(text: &str) -> Result<Self, String> {
        let template: Self =
            serde_json::from_str(text).map_err(|e| format!("expected a template of requests: {e}"))?;
        if !MARKS.iter().any(|mark| has(&template.body, mark)) {
            return Err("the body has no place for the image: $image, $flat or $png".to_owned());
        }
        if !template.scores.is_empty() && !template.scores.starts_with('/') {
            return Err(format!(
                "scores is `{}`, expected a JSON pointer such as /result/scores",
                template.scores
            ));
        }
        Ok(Self { text: text.to_owned(), ..template })
    }

    /// Whether images are sent as numbers, not only as pictures.
    pub(super) fn has_numbers(&self) -> bool {
        ["$image", "$flat"].iter().any(|mark| has(&self.body, mark))
    }

    /// The row of an image, by the classes `names`, or `classes` of them.
    pub(super) fn ask(
        &self,
        client: &Client,
        address: &str,
        image: &Shown<'_>,
        names: &[String],
        classes: usize,
    ) -> Result<Vec<f32>, Trouble> {
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
        let mut headers: Vec<(String, String)> = headers.collect();
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        let body = filled(&self.body, image).to_string().into_bytes();
        let reply = client.post(address, &Message { headers, body }, SMALL + 100 * classes as u64)?;
        self.scores(&reply.body, names, classes).map_err(|problem| Trouble::Refused { status: 200, problem })
    }

    /// The scores in an answer.
    pub(super) fn scores(&self, body: &[u8], names: &[String], classes: usize) -> Result<Vec<f32>, String> {
        let body: Value = serde_json::from_slice(body).map_err(|e| format!("it is no JSON: {e}"))?;
        let found =
            body.pointer(&self.scores).ok_or_else(|| format!("there is nothing at {}", self.scores))?;
        let labelled = found.as_array().is_some_and(|list| list.iter().any(Value::is_object));
        let row = if labelled {
            by_name(found, names)?
        } else {
            data::flat(found).ok_or_else(|| format!("there is no list of numbers at {}", self.scores))?
        };
        if row.len() != classes {
            return Err(format!("expected {classes} numbers at {}, found {}", self.scores, row.len()));
        }
        Ok(row)
    }
}

/// The scores of objects with `label` and `score`; 0 for classes that are not among them.
fn by_name(list: &Value, names: &[String]) -> Result<Vec<f32>, String> {
    if names.is_empty() {
        return Err("it names its classes; give their names in the order that is wanted".to_owned());
    }
    let mut row = vec![0.0; names.len()];
    for item in list.as_array().into_iter().flatten() {
        let label = item.get("label").and_then(Value::as_str).ok_or("a score without a label")?;
        let score = item.get("score").and_then(Value::as_f64).ok_or("a label without a score")?;
        let class = names.iter().position(|name| name == label);
        row[class.ok_or_else(|| format!("the class {label:.60} is none of the given names"))?] = score as f32;
    }
    Ok(row)
}

fn has(value: &Value, mark: &str) -> bool {
    match value {
        Value::String(text) => text == mark,
        Value::Array(list) => list.iter().any(|item| has(item, mark)),
        Value::Object(members) => members.values().any(|item| has(item, mark)),
        _ => false,
    }
}

fn filled(value: &Value, image: &Shown<'_>) -> Value {
    match value {
        Value::String(text) if text == "$image" => data::nested(image.values, &image.axes),
        Value::String(text) if text == "$flat" => Value::from(image.values.to_vec()),
        Value::String(text) if text == "$png" => Value::from(STANDARD.encode(png(image))),
        Value::Array(list) => list.iter().map(|item| filled(item, image)).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, item)| (name.clone(), filled(item, image))).collect())
        }
        other => other.clone(),
    }
}

fn png(image: &Shown<'_>) -> Vec<u8> {
    let grey = image.pixels.len() == image.side * image.side;
    let colour = if grey { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut out = Vec::new();
    let side = u32::try_from(image.side).expect("sides are small");
    PngEncoder::new(&mut out)
        .write_image(image.pixels, side, side, colour)
        .expect("memory takes any picture");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TEXT: &str = r#"{"body": {"a": ["$image", "$flat"], "b": "$png", "c": 3}, "scores": "/0/s"}"#;

    #[test]
    fn the_image_takes_its_place() {
        let template = Template::of(TEXT).expect("a template");
        let image = Shown { values: &[1.0, 2.0, 3.0], axes: [1, 1, 3], pixels: &[10, 20, 30], side: 1 };
        let body = filled(&template.body, &image);
        assert_eq!((&body["a"], &body["c"]), (&json!([[[[1.0, 2.0, 3.0]]], [1.0, 2.0, 3.0]]), &json!(3)));
        let png = STANDARD.decode(body["b"].as_str().expect("text")).expect("base64");
        let picture = image::load_from_memory(&png).expect("a picture").into_rgb8();
        assert_eq!(picture.into_raw(), [10, 20, 30]);
    }

    #[test]
    fn scores_are_found_by_place_or_by_name() {
        let template = Template::of(TEXT).expect("a template");
        let names = ["cat", "owl"].map(str::to_owned);
        let scores = |body: Value| template.scores(body.to_string().as_bytes(), &names, 2);
        assert_eq!(scores(json!([{"s": [0.25, 0.75]}])).expect("scores"), [0.25, 0.75]);
        let named = json!([{"s": [{"label": "owl", "score": 0.9}]}]);
        assert_eq!(scores(named.clone()).expect("scores"), [0.0, 0.9]);
        assert!(
            template
                .scores(named.to_string().as_bytes(), &[], 2)
                .expect_err("no names")
                .contains("names its classes")
        );
        for (body, words) in [
            (json!([]), "nothing at /0/s"),
            (json!([{"s": [1]}]), "expected 2 numbers"),
            (json!([{"s": "x"}]), "no list of numbers"),
            (json!([{"s": [{"label": "dog", "score": 1}]}]), "dog is none"),
            (json!([{"s": [{"score": 1}]}]), "without a label"),
        ] {
            assert!(scores(body).expect_err(words).contains(words));
        }
        for (text, words) in [
            ("{", "expected a template"),
            (r#"{"body": {}, "scores": "/s"}"#, "no place for the image"),
            (r#"{"body": "$png", "scores": "s"}"#, "expected a JSON pointer"),
            (r#"{"body": "$png", "scores": "/s", "url": "x"}"#, "unknown field"),
        ] {
            assert!(Template::of(text).expect_err(text).contains(words));
        }
    }
}
