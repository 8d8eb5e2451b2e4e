//! The interface as an OpenAPI document, with this model's tensors.

use serde_json::{Value, json};

use crate::about::{About, INPUT, VERSION};

/// The answer to `GET /openapi.json` of a server that asks for API keys, or does not.
pub fn openapi(about: &About, keys: bool) -> Value {
    let name = &about.name;
    let model = format!("/v2/models/{name}");
    let mut paths = serde_json::Map::new();
    let mut add = |path: String, method: &str, operation: Value| {
        paths.insert(path, json!({ method: operation }));
    };
    add("/v2/health/live".into(), "get", open(get("serverLive", "The server runs", "Live")));
    add("/v2/health/ready".into(), "get", open(get("serverReady", "It takes requests", "Ready")));
    add("/v2".into(), "get", get("serverMetadata", "The server's name, version and extensions", "Server"));
    for (path, suffix) in [(model.clone(), ""), (format!("{model}/versions/{VERSION}"), "Version")] {
        let id = |id: &str| format!("{id}{suffix}");
        add(path.clone(), "get", get(&id("modelMetadata"), "The model's tensors", "Model"));
        let ready = open(get(&id("modelReady"), "The model takes requests", "ModelReady"));
        add(format!("{path}/ready"), "get", ready);
        add(format!("{path}/infer"), "post", infer(&id("modelInfer")));
    }
    add("/metrics".into(), "get", text("metrics", "Counters in Prometheus' text format", "text/plain"));
    add("/openapi.json".into(), "get", text("openapi", "This document", "application/json"));
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("{name}, by the Open Inference Protocol"),
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": { "schemas": schemas(about) },
    });
    if keys {
        document["components"]["securitySchemes"] = json!({
            "bearer": { "type": "http", "scheme": "bearer" },
            "header": { "type": "apiKey", "in": "header", "name": "X-Api-Key" },
        });
        document["security"] = json!([{ "bearer": [] }, { "header": [] }]);
    }
    document
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn with_schema(description: &str, schema: &str) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": reference(schema) } } })
}

fn get(id: &str, summary: &str, schema: &str) -> Value {
    json!({
        "operationId": id,
        "summary": summary,
        "responses": { "200": with_schema(summary, schema), "default": with_schema("An error", "Error") },
    })
}

fn text(id: &str, summary: &str, media: &str) -> Value {
    json!({
        "operationId": id,
        "summary": summary,
        "responses": {
            "200": { "description": summary, "content": { media: {} } },
            "default": with_schema("An error", "Error"),
        },
    })
}

/// The same operation, which needs no key.
fn open(mut operation: Value) -> Value {
    operation["security"] = json!([]);
    operation
}

fn infer(id: &str) -> Value {
    let header = json!({
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "description": "How many bytes of the body are JSON, where binary tensors follow; 0: the body is one image.",
        "schema": { "type": "integer", "minimum": 0 },
    });
    let responses = [
        ("400", "The request is wrong"),
        ("401", "No key, or an unknown one"),
        ("404", "No such model or version"),
        ("408", "The body did not arrive in time"),
        ("413", "Too many bytes or images"),
        ("415", "An unknown content encoding"),
        ("429", "The key's rate is exceeded, or its budget is used up"),
        ("500", "The model failed"),
        ("502", "The server that has the model does not answer"),
        ("503", "The server, or the one that has the model, cannot answer now"),
        ("504", "The server that has the model does not answer in time"),
    ];
    let mut operation = json!({
        "operationId": id,
        "summary": "Classify images",
        "parameters": [header],
        "requestBody": {
            "required": true,
            "content": {
                "application/json": { "schema": reference("Request") },
                "application/octet-stream": {},
            },
        },
        "responses": { "200": with_schema("The answers", "Response") },
    });
    for (status, description) in responses {
        operation["responses"][status] = with_schema(description, "Error");
    }
    operation
}

fn schemas(about: &About) -> Value {
    let [channels, height, width] = about.image;
    let (text, integer, flag) =
        (json!({ "type": "string" }), json!({ "type": "integer" }), json!({ "type": "boolean" }));
    let object = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "properties": properties });
    let list = |of: &Value| json!({ "type": "array", "items": of });
    let tensor = object(
        &["name", "datatype", "shape"],
        json!({ "name": text, "datatype": text, "shape": list(&integer) }),
    );
    let status = |name: &str| object(&[name], json!({ name: flag }));
    json!({
        "Error": object(&["error"], json!({ "error": text })),
        "Live": status("live"),
        "Ready": status("ready"),
        "ModelReady": object(&["name", "ready"], json!({ "name": text, "ready": flag })),
        "Server": object(
            &["name", "version", "extensions"],
            json!({ "name": text, "version": text, "extensions": list(&text) }),
        ),
        "Model": object(
            &["name", "versions", "platform", "inputs", "outputs"],
            json!({
                "name": text, "versions": list(&text), "platform": text,
                "inputs": list(&tensor), "outputs": list(&tensor), "parameters": { "type": "object" },
            }),
        ),
        "Request": object(
            &["inputs"],
            json!({
                "id": text,
                "parameters": object(&[], json!({ "binary_data_output": flag, "classification": integer })),
                "inputs": {
                    "type": "array", "minItems": 1, "maxItems": 1,
                    "items": object(&["name", "datatype", "shape"], json!({
                        "name": { "const": INPUT },
                        "datatype": { "enum": about.datatypes() },
                        "shape": {
                            "type": "array", "items": integer,
                            "description": format!("[images, {channels}, {height}, {width}]"),
                        },
                        "parameters": object(&[], json!({ "binary_data_size": integer })),
                        "data": { "type": "array", "description": "Numbers, flat or nested as the shape" },
                    })),
                },
                "outputs": {
                    "type": "array", "maxItems": 1,
                    "items": object(&["name"], json!({
                        "name": { "const": about.output.name() },
                        "parameters": object(&[], json!({ "binary_data": flag, "classification": integer })),
                    })),
                },
            }),
        ),
        "Response": object(
            &["model_name", "model_version", "outputs"],
            json!({
                "model_name": text, "model_version": text, "id": text,
                "outputs": list(&object(&["name", "datatype", "shape"], json!({
                    "name": { "const": about.output.name() },
                    "datatype": { "enum": ["FP32", "BYTES"] },
                    "shape": list(&integer),
                    "parameters": object(&[], json!({ "binary_data_size": integer })),
                    "data": { "type": "array" },
                }))),
            }),
        ),
    })
}
