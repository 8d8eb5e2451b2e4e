use super::*;
use crate::about::{Input, Output as Named};
use serde_json::{Value, json};

fn about() -> About {
    About {
        name: "m".into(),
        image: [1, 2, 2],
        labels: vec!["cat".into(), "dog: small".into(), "fox".into()],
        input: Input::Normalised,
        output: Named::Probabilities,
        normalisation: None,
        defence: "none".into(),
        reveals: "probabilities".into(),
    }
}

const ROWS: [f32; 6] = [0.1, 0.7, 0.2, 0.4, 0.2, 0.4];

fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body[..reply.json_length.unwrap_or(reply.body.len())]).expect("JSON")
}

#[test]
fn numbers_in_json_and_in_binary() {
    let plain = reply(&about(), Some("a\"b"), &ROWS, Wanted::default());
    assert_eq!(plain.json_length, None);
    let expected = json!({
        "model_name": "m", "model_version": "1", "id": "a\"b",
        "outputs": [{ "name": "probabilities", "datatype": "FP32", "shape": [2, 3],
            "data": [0.1, 0.7, 0.2, 0.4, 0.2, 0.4] }],
    });
    // The shortest decimal that is the same f32.
    assert_eq!(json_of(&plain).to_string(), expected.to_string());

    let binary = reply(&about(), None, &ROWS, Wanted { binary: true, classes: None });
    let head = json_of(&binary);
    assert_eq!(head["outputs"][0]["parameters"], json!({ "binary_data_size": 24 }));
    assert!(head.get("id").is_none() && head["outputs"][0].get("data").is_none());
    let tail = &binary.body[binary.json_length.expect("binary follows")..];
    assert_eq!(tail, ROWS.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>());
}

#[test]
fn the_most_probable_classes_in_words() {
    let words = reply(&about(), None, &ROWS, Wanted { binary: false, classes: Some(2) });
    let output = &json_of(&words)["outputs"][0];
    assert_eq!((&output["datatype"], &output["shape"]), (&json!("BYTES"), &json!([2, 2])));
    let expected = ["0.700000:1:dog: small", "0.200000:2:fox", "0.400000:0:cat", "0.400000:2:fox"];
    assert_eq!(output["data"], json!(expected));

    let binary = reply(&about(), None, &ROWS, Wanted { binary: true, classes: Some(2) });
    let mut tail = &binary.body[binary.json_length.expect("binary follows")..];
    let size = json_of(&binary)["outputs"][0]["parameters"]["binary_data_size"].as_u64();
    assert_eq!(size, Some(tail.len() as u64));
    for word in expected {
        let (length, rest) = tail.split_at(4);
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        assert_eq!(&rest[..length], word.as_bytes());
        tail = &rest[length..];
    }
    assert!(tail.is_empty());
}
