//! KServe's first protocol, which TensorFlow Serving speaks too: `POST …/v1/models/NAME:predict`.

use super::client::{Client, Message, SMALL, Trouble};
use super::data;
use serde_json::{Value, json};

/// Members of an answer that hold the scores, where it is no mere list.
const MEMBERS: [&str; 4] = ["probabilities", "logits", "scores", "output"];

/// The rows of images, whose numbers are `values`, each of the shape `axes`.
pub(super) fn ask(
    client: &Client,
    address: &str,
    values: &[f32],
    count: usize,
    axes: &[usize],
    classes: usize,
) -> Result<Vec<f32>, Trouble> {
    let body = json!({ "instances": data::nested(values, &[&[count][..], axes].concat()) });
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    let message = Message { headers, body: body.to_string().into_bytes() };
    let reply = client.post(address, &message, SMALL + 40 * (count * classes) as u64)?;
    read(&reply.body, count, classes).map_err(|problem| Trouble::Refused { status: 200, problem })
}

/// The rows of an answer.
pub(super) fn read(body: &[u8], count: usize, classes: usize) -> Result<Vec<f32>, String> {
    let body: Value = serde_json::from_slice(body).map_err(|e| format!("it is no JSON: {e}"))?;
    let rows = body.get("predictions").and_then(Value::as_array).ok_or("it has no list of predictions")?;
    if rows.len() != count {
        return Err(format!("expected {count} predictions, found {}", rows.len()));
    }
    let mut out = Vec::with_capacity(count * classes);
    for row in rows {
        let list = match row.as_object() {
            Some(members) => MEMBERS.iter().find_map(|name| members.get(*name)),
            None => Some(row),
        };
        let row = list.and_then(data::flat).ok_or("a prediction is no list of numbers")?;
        if row.len() != classes {
            return Err(format!("expected {classes} numbers a prediction, found {}", row.len()));
        }
        out.extend(row);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_are_lists_or_members() {
        let found =
            read(br#"{"predictions": [[0.5, 0.5], {"label": "x", "scores": [1, 0]}]}"#, 2, 2).expect("rows");
        assert_eq!(found, [0.5, 0.5, 1.0, 0.0]);
        for (body, words) in [
            ("", "no JSON"),
            ("{}", "no list of predictions"),
            (r#"{"predictions": [[1, 0]]}"#, "expected 2 predictions, found 1"),
            (r#"{"predictions": [[1, 0], [1]]}"#, "expected 2 numbers"),
            (r#"{"predictions": [[1, 0], "x"]}"#, "no list of numbers"),
        ] {
            assert!(read(body.as_bytes(), 2, 2).expect_err(body).contains(words), "{body}");
        }
    }
}
