//! The answer to an inference request: JSON, and a binary tensor behind it if one is wanted.

use serde::Serialize;

use super::Wanted;
use crate::about::{About, VERSION};

/// A body, and how much of it is JSON if something follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The bytes.
    pub body: Vec<u8>,
    /// The value of `Inference-Header-Content-Length`.
    pub json_length: Option<usize>,
}

#[derive(Serialize)]
struct Answer<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: [Output<'a>; 1],
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: &'a str,
    shape: [usize; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
struct Size {
    binary_data_size: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Numbers(&'a [f32]),
    Words(&'a [String]),
}

/// The reply to the request `id` with the served rows `[images, classes]`, which are finite.
pub fn reply(about: &About, id: Option<&str>, rows: &[f32], wanted: Wanted) -> Reply {
    let classes = about.classes();
    let words = wanted.classes.map(|k| -> Vec<String> {
        rows.chunks_exact(classes).flat_map(|row| best(row, k, &about.labels)).collect()
    });
    let (datatype, width, data) = match &words {
        Some(words) => ("BYTES", wanted.classes.unwrap_or(classes), Data::Words(words)),
        None => ("FP32", classes, Data::Numbers(rows)),
    };
    let mut binary = Vec::new();
    if wanted.binary {
        match data {
            Data::Numbers(rows) => binary.extend(rows.iter().flat_map(|number| number.to_le_bytes())),
            Data::Words(words) => words.iter().for_each(|word| {
                binary.extend((word.len() as u32).to_le_bytes());
                binary.extend(word.as_bytes());
            }),
        }
    }
    let output = Output {
        name: about.output.name(),
        datatype,
        shape: [rows.len() / classes, width],
        parameters: wanted.binary.then_some(Size { binary_data_size: binary.len() }),
        data: (!wanted.binary).then_some(data),
    };
    let answer = Answer { model_name: &about.name, model_version: VERSION, id, outputs: [output] };
    let mut body = serde_json::to_vec(&answer).expect("plain data has a JSON form");
    let json_length = wanted.binary.then_some(body.len());
    body.append(&mut binary);
    Reply { body, json_length }
}

/// The `k` largest numbers of a row as `score:index:label`; among equals the lowest index first.
fn best<'a>(row: &'a [f32], k: usize, labels: &'a [String]) -> impl Iterator<Item = String> + use<'a> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    order.into_iter().take(k).map(|class| format!("{:.6}:{class}:{}", row[class], labels[class]))
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
