//! What the server and its model say about themselves.

use serde_json::{Value, json};

use crate::about::{About, INPUT, VERSION};

/// The answer to `GET /v2`.
pub fn server() -> Value {
    json!({
        "name": "nasty",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["classification", "binary_tensor_data"],
    })
}

/// The answer to `GET /v2/models/NAME`. Its parameters say how images are prepared and what answers hold.
pub fn model(about: &About) -> Value {
    let [channels, height, width] = about.image;
    let normalisation = about.normalisation.as_ref();
    json!({
        "name": about.name,
        "versions": [VERSION],
        "platform": "nasty",
        "inputs": [{
            "name": INPUT,
            "datatype": about.datatypes()[0],
            "shape": [-1, channels, height, width],
        }],
        "outputs": [{
            "name": about.output.name(),
            "datatype": "FP32",
            "shape": [-1, about.classes()],
        }],
        "parameters": {
            "mean": normalisation.map(|n| &n.mean),
            "std": normalisation.map(|n| &n.std),
            "labels": about.labels,
            "answers": about.reveals,
        },
    })
}
