//! What an ONNX file says about itself, read before any runtime sees it: sizes are bounded here, and what a runtime would
//! silently compute wrongly is found. The field numbers are those of onnx.proto3.

use super::super::Scale;
use super::faults;
use crate::protobuf::{Part, int, ints, messages, parts, text};
use std::collections::{BTreeMap, BTreeSet};

/// Nodes, weights and described values of a model, at most, each.
const MOST: usize = 100_000;
/// Graphs inside graphs.
pub(super) const DEEPEST: usize = 8;
/// The oldest operator set whose operators have today's shapes of arguments.
const OLDEST: u64 = 7;

pub(super) const GRAPH: u64 = 7;
pub(super) const NODES: u64 = 1;
const OPERATOR_SETS: u64 = 8;
const PROPERTIES: u64 = 14;
pub(super) const INITIALIZERS: u64 = 5;
const INPUTS: u64 = 11;
const OUTPUTS: u64 = 12;
const DESCRIBED: u64 = 13;
/// Inputs, outputs, and described values between them.
pub(super) const VALUES: [u64; 3] = [INPUTS, OUTPUTS, DESCRIBED];
const SPARSE: u64 = 15;
const SPARSE_ATTRIBUTES: [u64; 2] = [22, 23];
const FUNCTIONS: u64 = 25;
const FUNCTION_NODES: u64 = 7;
pub(super) const NODE_ATTRIBUTES: u64 = 5;
/// Attributes that are a tensor, and a list of them.
pub(super) const TENSORS: [u64; 2] = [5, 10];
/// Attributes that are a graph, and a list of them.
pub(super) const GRAPHS: [u64; 2] = [6, 11];

/// Types of tensors.
pub(super) const FLOAT: u64 = 1;
pub(super) const UINT8: u64 = 2;

/// A model's description of itself.
#[derive(Debug)]
pub(super) struct Described {
    /// Version of ONNX's own operators.
    pub(super) opset: u64,
    /// The one input.
    pub(super) input: Value,
    /// The outputs.
    pub(super) outputs: Vec<Value>,
    /// The metadata.
    pub(super) metadata: BTreeMap<String, String>,
}

/// An input or output.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) name: String,
    /// The type of its elements; 0 if it is not said.
    pub(super) kind: u64,
    /// Its axes, where they are fixed; none if not even their number is known.
    pub(super) axes: Option<Vec<Option<usize>>>,
}

/// What was found on the way through graphs.
struct Census {
    /// Whether what the built-in runtime would compute wrongly is refused.
    built_in: bool,
    nodes: usize,
    weights: usize,
}

impl Described {
    /// Reads the model; `built_in` says whether the built-in runtime is to compute it.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub(super) fn read(model: &[u8], built_in: bool) -> Result<Self, String> {
        let fields =
            parts(model).ok_or("expected an ONNX model, found bytes that are no protobuf message")?;
        let mut graphs = messages(&fields, GRAPH);
        let bytes = graphs.next().ok_or("expected an ONNX model, found no graph in it")?;
        if graphs.next().is_some() {
            return Err("expected an ONNX model with one graph, found several".to_owned());
        }
        let opset =
            operator_set(&fields).ok_or("expected an ONNX model, found no operator set of ONNX's in it")?;
        if opset < OLDEST {
            return Err(format!("expected operator set {OLDEST} or later, found {opset}"));
        }
        let mut census = Census { built_in, nodes: 0, weights: 0 };
        census.graph(bytes, 0)?;
        for function in messages(&fields, FUNCTIONS) {
            let function = parts(function).ok_or_else(damaged)?;
            census.nodes += messages(&function, FUNCTION_NODES).count();
            messages(&function, FUNCTION_NODES).try_for_each(|node| census.node(node, 1))?;
        }
        let graph = parts(bytes).ok_or_else(damaged)?;
        if messages(&graph, DESCRIBED).count() > MOST {
            return Err(format!("expected at most {MOST} described values"));
        }
        let named = |weight: &[u8]| parts(weight).and_then(|weight| text(&weight, 8).map(str::to_owned));
        let weights: BTreeSet<String> = messages(&graph, INITIALIZERS).filter_map(named).collect();
        let values = |number| messages(&graph, number).map(value).collect::<Result<Vec<_>, String>>();
        // Old files list their weights as inputs too.
        let mut inputs = values(INPUTS)?;
        inputs.retain(|input| !weights.contains(&input.name));
        let [input] = &inputs[..] else {
            return Err(format!(
                "expected a model with one input, found {}: {}",
                inputs.len(),
                names(&inputs)
            ));
        };
        let outputs = values(OUTPUTS)?;
        if outputs.is_empty() {
            return Err("expected a model with an output, found none".to_owned());
        }
        let metadata = messages(&fields, PROPERTIES).filter_map(parts).filter_map(|property| {
            Some((text(&property, 1)?.to_owned(), text(&property, 2).unwrap_or_default().to_owned()))
        });
        Ok(Self { opset, input: input.clone(), outputs, metadata: metadata.collect() })
    }

    /// The output that is the answer: the only one of numbers, or else the one called so.
    ///
    /// # Errors
    /// If it is not known which.
    pub(super) fn answer(&self) -> Result<&Value, String> {
        let numbers: Vec<&Value> =
            self.outputs.iter().filter(|o| matches!(o.kind, 0 | FLOAT | 10 | 11)).collect();
        if let [one] = numbers[..] {
            return Ok(one);
        }
        let called = |name: &str| numbers.iter().find(|output| output.name == name).copied();
        called("logits").or_else(|| called("probabilities")).ok_or_else(|| {
            let found = names(&self.outputs);
            format!("expected one output of numbers, or one called logits or probabilities, found {found}")
        })
    }

    /// What the answers are, by the model's own word.
    pub(super) fn scale(&self, answer: &Value) -> Option<Scale> {
        match answer.name.as_str() {
            "logits" => Some(Scale::Logits),
            "probabilities" | "served_probabilities" => Some(Scale::Probabilities),
            _ => None,
        }
    }

    /// Numbers of a list in the metadata.
    pub(super) fn numbers(&self, key: &str) -> Option<Vec<f32>> {
        serde_json::from_str(self.metadata.get(key)?).ok()
    }

    /// The classes' names in the metadata.
    pub(super) fn labels(&self) -> Option<Vec<String>> {
        ["label_names", "labels", "classes", "class_names"]
            .iter()
            .find_map(|key| serde_json::from_str(self.metadata.get(*key)?).ok())
    }
}

impl Census {
    fn graph(&mut self, bytes: &[u8], depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("expected graphs at most {DEEPEST} deep in each other"));
        }
        let graph = parts(bytes).ok_or_else(damaged)?;
        if messages(&graph, SPARSE).next().is_some() {
            return Err(sparse());
        }
        self.weights += messages(&graph, INITIALIZERS).count();
        self.nodes += messages(&graph, NODES).count();
        if self.nodes > MOST || self.weights > MOST {
            return Err(format!("expected at most {MOST} nodes and as many weights, found more"));
        }
        messages(&graph, INITIALIZERS).try_for_each(|weight| self.tensor(weight))?;
        messages(&graph, NODES).try_for_each(|node| self.node(node, depth))
    }

    fn node(&mut self, node: &[u8], depth: usize) -> Result<(), String> {
        let node = parts(node).ok_or_else(damaged)?;
        let operator = text(&node, 4).unwrap_or_default();
        let attributes =
            messages(&node, NODE_ATTRIBUTES).map(|attribute| parts(attribute).ok_or_else(damaged));
        let attributes = attributes.collect::<Result<Vec<_>, String>>()?;
        if let Some(fault) = faults::of_node(operator, &attributes).filter(|_| self.built_in) {
            return Err(fault);
        }
        for attribute in &attributes {
            let mut tensors = TENSORS.iter().flat_map(|number| messages(attribute, *number));
            tensors.try_for_each(|tensor| self.tensor(tensor))?;
            if SPARSE_ATTRIBUTES.iter().any(|number| messages(attribute, *number).next().is_some()) {
                return Err(sparse());
            }
            for graph in GRAPHS.iter().flat_map(|number| messages(attribute, *number)) {
                self.graph(graph, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Checks that a tensor has as many numbers as its shape says.
    fn tensor(&self, bytes: &[u8]) -> Result<(), String> {
        let tensor = parts(bytes).ok_or_else(damaged)?;
        let name = text(&tensor, 8).unwrap_or("without a name");
        if let Some(fault) = faults::of_tensor(name, &tensor).filter(|_| self.built_in) {
            return Err(fault);
        }
        if int(&tensor, 14) == Some(1) {
            return Err(format!(
                "its weight {name} is in another file, which is read for models from files only; save the model with its weights inside \
                 (`onnx.save_model(onnx.load(path), new_path)`)"
            ));
        }
        let sides = ints(&tensor, 1).ok_or_else(damaged)?;
        let count =
            sides.iter().try_fold(1usize, |count, side| count.checked_mul(usize::try_from(*side).ok()?));
        let count = count.filter(|count| sides.len() <= 16 && *count <= isize::MAX as usize / 8);
        let count = count.ok_or_else(|| format!("its weight {name} has the impossible shape {sides:?}"))?;
        let each = match int(&tensor, 2) {
            Some(1 | 6 | 12) => 4,
            Some(2 | 3 | 9) => 1,
            Some(4 | 5 | 10 | 16) => 2,
            Some(7 | 11 | 13 | 14) => 8,
            // Types that hardly any runtime reads: they are its business, and no larger than the file.
            _ => return Ok(()),
        };
        let mut raw = messages(&tensor, 9);
        if let Some(raw) = raw.next()
            && raw.len() != count * each
        {
            return Err(format!(
                "its weight {name} has {} bytes, expected {} for the shape {sides:?}",
                raw.len(),
                count * each
            ));
        }
        // As numbers of their own, each takes a byte at least.
        if messages(&tensor, 9).next().is_none() && count > bytes.len() {
            return Err(format!("its weight {name} has fewer numbers than its shape {sides:?} says"));
        }
        Ok(())
    }
}

/// The version of ONNX's own operators.
fn operator_set(model: &[Part<'_>]) -> Option<u64> {
    messages(model, OPERATOR_SETS).filter_map(parts).find_map(|set| {
        let own = matches!(text(&set, 1), None | Some("" | "ai.onnx"));
        own.then(|| int(&set, 2)).flatten()
    })
}

fn value(bytes: &[u8]) -> Result<Value, String> {
    let value = parts(bytes).ok_or_else(damaged)?;
    let name = text(&value, 1).ok_or_else(damaged)?.to_owned();
    let kind = messages(&value, 2).last().and_then(parts).unwrap_or_default();
    let tensor = messages(&kind, 1).last().and_then(parts).unwrap_or_default();
    let shape = messages(&tensor, 2).last().and_then(parts);
    let axis = |axis: &[u8]| -> Option<usize> {
        let side = int(&parts(axis)?, 1)?;
        usize::try_from(side).ok().filter(|side| *side > 0 && *side <= 1 << 24)
    };
    let axes = shape.map(|shape| messages(&shape, 1).map(axis).collect());
    Ok(Value { name, kind: int(&tensor, 1).unwrap_or(0), axes })
}

fn names(values: &[Value]) -> String {
    let shown: Vec<&str> = values.iter().take(8).map(|value| value.name.as_str()).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

fn sparse() -> String {
    "it has sparse weights, which are not read".to_owned()
}

fn damaged() -> String {
    "expected an ONNX model, found a damaged part in it".to_owned()
}
