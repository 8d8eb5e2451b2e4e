//! The Open Inference Protocol (KServe v2), with the binary extension where the server has it.

use super::client::{Client, JSON_LENGTH, Message, Reply, Trouble};
use super::data;
use crate::victim::Tensors;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A model behind the protocol.
pub(super) struct Inference {
    /// Up to `/v2/models/NAME`, a version included where one was given.
    address: String,
    input: Tensor,
    output: Tensor,
    /// Whether tensors are sent as bytes; given up for good when the server does not take them.
    binary: AtomicBool,
    number: AtomicU64,
    /// Names apart the requests of processes.
    session: u32,
}

/// A model's description of itself.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) versions: Option<Vec<String>>,
    #[serde(default)]
    inputs: Vec<Tensor>,
    #[serde(default)]
    outputs: Vec<Tensor>,
    #[serde(default)]
    parameters: Value,
}

/// A tensor's description.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) datatype: String,
    pub(super) shape: Vec<i64>,
}

impl Metadata {
    /// The one input.
    pub(super) fn input(&self) -> Result<&Tensor, String> {
        let [input] = &self.inputs[..] else {
            return Err(format!("expected a model with one input, found {}", self.inputs.len()));
        };
        if !["FP32", "FP64", "UINT8"].contains(&input.datatype.as_str()) {
            return Err(format!(
                "expected the input {} as FP32, FP64 or UINT8, found {}",
                input.name, input.datatype
            ));
        }
        if ![3, 4].contains(&input.shape.len()) {
            let shape = &input.shape;
            return Err(format!(
                "expected the input {} of shape [N, …three axes…], found {shape:?}",
                input.name
            ));
        }
        Ok(input)
    }

    /// The output that is the answer.
    pub(super) fn output(&self) -> Result<&Tensor, String> {
        let known = |output: &&Tensor| ["FP16", "FP32", "FP64", "BYTES"].contains(&output.datatype.as_str());
        let outputs: Vec<&Tensor> = self.outputs.iter().filter(known).collect();
        if let [one] = outputs[..] {
            return Ok(one);
        }
        let called = |name: &str| outputs.iter().find(|output| output.name == name).copied();
        called("logits").or_else(|| called("probabilities")).ok_or_else(|| {
            let names: Vec<&str> = self.outputs.iter().take(8).map(|output| output.name.as_str()).collect();
            format!(
                "expected one output of numbers, or one called logits or probabilities, found {}",
                names.join(", ")
            )
        })
    }

    /// A list of numbers among the parameters.
    pub(super) fn numbers(&self, key: &str) -> Option<Vec<f32>> {
        self.parameters.get(key).filter(|list| list.is_array()).and_then(data::flat)
    }

    /// The classes' names among the parameters.
    pub(super) fn labels(&self) -> Option<Vec<String>> {
        serde_json::from_value(self.parameters.get("labels")?.clone()).ok()
    }
}

impl Inference {
    /// What the model at `address` says about itself.
    pub(super) fn describe(address: &str, client: &Client) -> Result<Metadata, Trouble> {
        let reply = client.get(address)?;
        serde_json::from_slice(&reply.body).map_err(|e| Trouble::Refused {
            status: 200,
            problem: format!("its description is not the Open Inference Protocol's: {e}"),
        })
    }

    /// The model at `address` with this description.
    pub(super) fn new(
        address: &str,
        metadata: &Metadata,
        client: &Client,
        tensors: Tensors,
    ) -> Result<Self, String> {
        let (input, output) = (metadata.input()?.clone(), metadata.output()?.clone());
        // Servers that do not say what they can are asked once.
        let server = address.split("/v2/").next().unwrap_or_default();
        let reply = (tensors == Tensors::Auto).then(|| client.get(&format!("{server}/v2")).ok()).flatten();
        let extensions = reply.and_then(|reply| {
            let server: Value = serde_json::from_slice(&reply.body).ok()?;
            Some(server.get("extensions")?.as_array()?.iter().any(|known| known == "binary_tensor_data"))
        });
        let binary = AtomicBool::new(tensors == Tensors::Auto && extensions.unwrap_or(true));
        let (number, session) = (AtomicU64::new(0), std::process::id());
        Ok(Self { address: address.to_owned(), input, output, binary, number, session })
    }

    /// Whether images go in without an axis for the batch: one a request.
    pub(super) fn is_single(&self) -> bool {
        self.input.shape.len() == 3
    }

    /// The rows of `count` images, whose numbers are `values`, each of the shape `axes`.
    pub(super) fn ask(
        &self,
        client: &Client,
        values: &[f32],
        count: usize,
        axes: &[usize],
        classes: usize,
    ) -> Result<Vec<f32>, Trouble> {
        let shape = if self.is_single() { axes.to_vec() } else { [&[count][..], axes].concat() };
        let id = format!("nasty-{}-{}", self.session, self.number.fetch_add(1, Ordering::Relaxed));
        let address = format!("{}/infer", self.address);
        let limit = super::client::SMALL + 40 * (count * classes) as u64;
        if self.binary.load(Ordering::Relaxed) {
            match client.post(&address, &self.binary(&id, values, &shape), limit) {
                Err(Trouble::Refused { status: 400..=499, .. }) => {}
                other => return self.read(&other?, &id, count, classes).map_err(wrong),
            }
        }
        let reply = client.post(&address, &self.json(&id, values, &shape), limit)?;
        // It understands this, and not the other.
        self.binary.store(false, Ordering::Relaxed);
        self.read(&reply, &id, count, classes).map_err(wrong)
    }

    fn json(&self, id: &str, values: &[f32], shape: &[usize]) -> Message {
        let data = if self.input.datatype == "UINT8" {
            Value::from(values.iter().map(|v| *v as u8).collect::<Vec<_>>())
        } else {
            Value::from(values.to_vec())
        };
        let Tensor { name, datatype, .. } = &self.input;
        let body = json!({
            "id": id,
            "inputs": [{ "name": name, "shape": shape, "datatype": datatype, "data": data }],
            "outputs": [{ "name": self.output.name }],
        });
        Message { headers: vec![content("application/json")], body: body.to_string().into_bytes() }
    }

    fn binary(&self, id: &str, values: &[f32], shape: &[usize]) -> Message {
        let Tensor { name, datatype, .. } = &self.input;
        let bytes: Vec<u8> = match datatype.as_str() {
            "UINT8" => values.iter().map(|v| *v as u8).collect(),
            "FP64" => values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        let size = json!({ "binary_data_size": bytes.len() });
        let head = json!({
            "id": id,
            "inputs": [{ "name": name, "shape": shape, "datatype": datatype, "parameters": size }],
            "outputs": [{ "name": self.output.name, "parameters": { "binary_data": true } }],
        });
        let head = head.to_string().into_bytes();
        let headers =
            vec![content("application/octet-stream"), (JSON_LENGTH.to_owned(), head.len().to_string())];
        Message { headers, body: [head, bytes].concat() }
    }

    /// The rows `[count, classes]` of a reply.
    pub(super) fn read(
        &self,
        reply: &Reply,
        id: &str,
        count: usize,
        classes: usize,
    ) -> Result<Vec<f32>, String> {
        let length = reply.json_length.unwrap_or(reply.body.len());
        let (head, mut tensors) =
            reply.body.split_at_checked(length).ok_or("it is shorter than its header says")?;
        let head: Value = serde_json::from_slice(head).map_err(|e| format!("it is no JSON: {e}"))?;
        if let Some(found) =
            head.get("id").and_then(Value::as_str).filter(|found| !found.is_empty() && *found != id)
        {
            return Err(format!("it is the answer to the request {found:.40}, expected {id}"));
        }
        let outputs = head.get("outputs").and_then(Value::as_array).ok_or("it has no outputs")?;
        for output in outputs {
            let size = output.pointer("/parameters/binary_data_size").and_then(Value::as_u64);
            let bytes = match size {
                None => None,
                Some(size) => {
                    let size = usize::try_from(size).map_err(|_| "an output of impossible size")?;
                    let (bytes, rest) = tensors.split_at_checked(size).ok_or("an output is cut off")?;
                    tensors = rest;
                    Some(bytes)
                }
            };
            let name = output.get("name").and_then(Value::as_str);
            if name == Some(&self.output.name) || outputs.len() == 1 && name.is_none() {
                return rows(output, bytes, count, classes);
            }
        }
        Err(format!("it has no output {}", self.output.name))
    }
}

/// The rows of one output, whose tensor is `bytes` if it is not within the JSON.
fn rows(output: &Value, bytes: Option<&[u8]>, count: usize, classes: usize) -> Result<Vec<f32>, String> {
    let datatype = output.get("datatype").and_then(Value::as_str).unwrap_or("FP32");
    let list = output.get("data");
    let found = if datatype == "BYTES" {
        let texts = match bytes {
            Some(bytes) => data::texts(bytes),
            None => list.and_then(|list| serde_json::from_value(list.clone()).ok()),
        };
        texts.and_then(|texts| data::classified(&texts, count, classes))
    } else {
        match bytes {
            Some(bytes) => data::raw(bytes, datatype),
            None => list.and_then(data::flat),
        }
    };
    let found = found.ok_or_else(|| format!("its output is no {datatype} numbers"))?;
    if found.len() != count * classes {
        return Err(format!("expected {count} rows of {classes} numbers, found {} numbers", found.len()));
    }
    if let Some(shape) = output.get("shape").and_then(data::flat)
        && count > 1
        && shape.first() != Some(&(count as f32))
    {
        return Err(format!("expected {count} rows, found the shape {shape:?}"));
    }
    Ok(found)
}

fn content(kind: &str) -> (String, String) {
    ("Content-Type".to_owned(), kind.to_owned())
}

fn wrong(problem: String) -> Trouble {
    Trouble::Refused { status: 200, problem }
}
