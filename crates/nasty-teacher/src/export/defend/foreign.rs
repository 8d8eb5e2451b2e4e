//! Adds a defence to an ONNX model from elsewhere.

use std::collections::BTreeSet;

use super::super::messages::METADATA;
use super::{Answer, GraphInputs, Stack, defend};
use crate::protobuf::{Message, Part, int, messages, parts, text};

/// The oldest operator set that has the operators of defences in the form written here.
const OLDEST: u64 = 13;
/// ONNX's number for float32.
const FLOAT: u64 = 1;

// Field numbers of onnx.proto3.
const GRAPH: u64 = 7;
const OPERATOR_SETS: u64 = 8;
const PROPERTIES: u64 = 14;
const NODES: u64 = 1;
const INITIALIZERS: u64 = 5;
const INPUTS: u64 = 11;
const OUTPUTS: u64 = 12;

/// The model with the defences of `stack` behind its one output `[batch, classes]`, which is probabilities or else logits
/// and is no output any more: `probabilities` is. Everything else stays, byte for byte.
///
/// # Errors
/// What is wrong, as a sentence.
pub(crate) fn defend_model(
    model: &[u8],
    stack: &Stack,
    probabilities: bool,
    inputs: GraphInputs<'_>,
) -> Result<Vec<u8>, String> {
    let fields = parts(model).ok_or("expected an ONNX model, found bytes that are no protobuf message")?;
    let mut graphs = messages(&fields, GRAPH);
    let graph_bytes = graphs.next().ok_or("expected an ONNX model, found no graph in it")?;
    if graphs.next().is_some() {
        return Err("expected an ONNX model with one graph, found several".to_owned());
    }
    if let Some(carried) = property(&fields, METADATA) {
        return Err(format!("this model already carries the defence {carried}; begin from the one without"));
    }
    let opset =
        operator_set(&fields).ok_or("expected an ONNX model, found no operator set of ONNX's in it")?;
    if opset < OLDEST {
        return Err(format!(
            "expected operator set {OLDEST} or later, found {opset}; convert the model first"
        ));
    }
    let graph = parts(graph_bytes).ok_or("expected an ONNX model, found a damaged graph in it")?;
    let outputs: Vec<&[u8]> = messages(&graph, OUTPUTS).collect();
    let [output] = outputs[..] else {
        return Err(format!("expected a model with one output, found {}", outputs.len()));
    };
    let output = Output::read(output)?;
    let used = names(&graph);
    let served = ["probabilities", "served_probabilities"].into_iter().find(|name| !used.contains(*name));
    let served =
        served.ok_or("the model uses the names probabilities and served_probabilities for other values")?;
    if let Some(shift) = inputs.proxy_shift.filter(|shift| !used.contains(*shift)) {
        return Err(format!("the model has no value {shift}"));
    }
    let answer = Answer { name: output.name, classes: output.classes, probabilities, opset };
    let added = defend(stack, answer, served, inputs).map_err(|error| error.to_string())?;

    let kept = graph.iter().filter(|part| part.number != OUTPUTS);
    let new = kept.fold(Message::default(), |new, part| new.raw(part.raw));
    let new = added.nodes.iter().fold(new, |new, node| new.message(NODES, node));
    let new = added.constants.iter().fold(new, |new, constant| new.message(INITIALIZERS, constant));
    let new = new.message(OUTPUTS, &Message::default().text(1, served).bytes(2, output.kind));
    let rest = fields.iter().filter(|part| part.number != GRAPH);
    let model = rest.fold(Message::default(), |model, part| model.raw(part.raw)).message(GRAPH, &new);
    let property = Message::default().text(1, METADATA).text(2, &stack.to_string());
    Ok(model.message(PROPERTIES, &property).into_bytes())
}

/// The version of ONNX's own operators.
fn operator_set(model: &[Part<'_>]) -> Option<u64> {
    messages(model, OPERATOR_SETS).filter_map(parts).find_map(|set| {
        let own = matches!(text(&set, 1), None | Some("" | "ai.onnx"));
        own.then(|| int(&set, 2)).flatten()
    })
}

fn property<'a>(model: &[Part<'a>], key: &str) -> Option<&'a str> {
    messages(model, PROPERTIES)
        .filter_map(parts)
        .find(|property| text(property, 1) == Some(key))
        .map(|property| text(&property, 2).unwrap_or_default())
}

/// Names of the graph's values.
fn names(graph: &[Part<'_>]) -> BTreeSet<String> {
    let texts = |message: &[u8], number| -> Vec<String> {
        let fields = parts(message).unwrap_or_default();
        messages(&fields, number).map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    };
    let nodes = messages(graph, NODES).flat_map(|node| texts(node, 2));
    let constants = messages(graph, INITIALIZERS).flat_map(|constant| texts(constant, 8));
    nodes.chain(constants).chain(messages(graph, INPUTS).flat_map(|input| texts(input, 1))).collect()
}

/// The one output.
struct Output<'a> {
    name: &'a str,
    /// Its type, as it stands in the file.
    kind: &'a [u8],
    classes: usize,
}

impl<'a> Output<'a> {
    fn read(output: &'a [u8]) -> Result<Self, String> {
        let damaged = || "expected an ONNX model, found a damaged output in it".to_owned();
        let inner = |message: &'a [u8], number| -> Option<Vec<Part<'a>>> {
            parts(messages(&parts(message)?, number).last()?)
        };
        let value = parts(output).ok_or_else(damaged)?;
        let name = text(&value, 1).ok_or_else(damaged)?;
        let kind = messages(&value, 2).last().ok_or_else(damaged)?;
        let tensor = inner(kind, 1).ok_or_else(|| format!("the output {name}: expected a tensor"))?;
        if int(&tensor, 1) != Some(FLOAT) {
            return Err(format!("the output {name}: expected float32 numbers"));
        }
        let shape = messages(&tensor, 2).last().and_then(parts).unwrap_or_default();
        let sides: Vec<Option<u64>> =
            messages(&shape, 1).map(|side| parts(side).and_then(|side| int(&side, 1))).collect();
        let [_, Some(classes)] = sides[..] else {
            return Err(format!(
                "the output {name}: expected the shape [batch, classes] with a known number of classes"
            ));
        };
        if classes < 2 {
            return Err(format!("the output {name}: expected at least two classes, found {classes}"));
        }
        let classes =
            u32::try_from(classes).map_err(|_| format!("the output {name}: found {classes} classes"))?;
        Ok(Self { name, kind, classes: classes as usize })
    }
}
