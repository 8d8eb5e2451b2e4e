//! The graph as the built-in runtime computes it rightly: operators that it computes otherwise than the standard says become
//! others that it computes as meant. What has no such form is refused ([`super::faults`]).
//!
//! - Before operator set 13, Softmax, LogSoftmax and Hardmax worked on the matrix `[product of the axes before axis, product of
//!   the others]`, axis 1 by default. The runtime always computes them along one axis, as since operator set 13, which gives
//!   other numbers on more than two axes (rten#1414). Each of them becomes Flatten, the same along axis 1, and Reshape back.
//! - The runtime has no booleans, only integers, and casts 0.5 to 0, which is false. Such a Cast becomes a comparison with 0.
//! - The runtime quantises along the last axis where none is said, and the standard along axis 1, which is added.
//! - Of equal numbers, ArgMax and ArgMin take the last, and the standard the first, as TopK does.
//! - The Sign of 0 is 1 or −1 there. It becomes the difference of two comparisons.
//! - The product of more than two axes with a vector keeps the axis that is summed over. The vector becomes a matrix of one
//!   column, and that axis goes afterwards. Where the file does not say how many axes the second factor has, that is decided while the
//!   graph is computed.
//! - Pools without `strides`, and convolutions without `kernel_shape`, have to be given what the standard takes for them.

use super::graph::{GRAPH, GRAPHS, NODE_ATTRIBUTES, NODES};
use super::ranks::Ranks;
use crate::protobuf::{Message, Part, Wire, int, ints, messages, parts, text};

/// Since this operator set the three operators are what the runtime computes.
const SINCE: u64 = 13;
const OPERATORS: [&str; 3] = ["Softmax", "LogSoftmax", "Hardmax"];

/// Types of attributes.
const INTEGER: u64 = 2;
const TENSOR: u64 = 4;
const INTEGERS: u64 = 7;
/// Types of tensors.
const FLOAT: u64 = 1;
const INT64: u64 = 7;
const BOOL: u64 = 9;

/// The model of operator set `opset` for the runtime; none if it is right as it is.
pub(super) fn rewritten(model: &[u8], opset: u64) -> Option<Vec<u8>> {
    let fields = parts(model)?;
    let graph = messages(&fields, GRAPH).next()?;
    let mut rewriter = Rewriter { opset, number: 0, ranks: Ranks::of(graph) };
    let new = rewriter.graph(graph)?;
    let rest = fields.iter().filter(|part| part.number != GRAPH);
    let model = rest.fold(Message::default(), |model, part| model.raw(part.raw));
    Some(model.message(GRAPH, &new).into_bytes())
}

struct Rewriter {
    opset: u64,
    /// Nodes that were replaced so far: part of the new ones' names.
    number: usize,
    /// The number of axes of values, as far as the file says so.
    ranks: Ranks,
}

impl Rewriter {
    /// The graph in its new form; none if nothing changes.
    fn graph(&mut self, graph: &[u8]) -> Option<Message> {
        let mut changed = false;
        let mut new = Message::default();
        for part in &parts(graph)? {
            let nodes = match part.value {
                Wire::Bytes(node) if part.number == NODES => self.node(node),
                _ => None,
            };
            changed |= nodes.is_some();
            new = match nodes {
                Some(nodes) => nodes.iter().fold(new, |new, node| new.message(NODES, node)),
                None => new.raw(part.raw),
            };
        }
        changed.then_some(new)
    }

    /// The nodes in place of `node`; none if it stays.
    fn node(&mut self, node: &[u8]) -> Option<Vec<Message>> {
        let fields = parts(node)?;
        let operator = text(&fields, 4).unwrap_or_default();
        if OPERATORS.contains(&operator) && self.opset < SINCE {
            return self.along_one_axis(&fields);
        }
        let integer = |name: &str| {
            let named = messages(&fields, NODE_ATTRIBUTES).filter_map(parts);
            named.filter(|attribute| text(attribute, 1) == Some(name)).find_map(|a| int(&a, 3))
        };
        match operator {
            "Cast" if integer("to") == Some(BOOL) => self.truth(&fields),
            "Sign" => self.sign(&fields),
            "ArgMax" | "ArgMin" if integer("select_last_index").unwrap_or(0) == 0 => {
                let (axis, keep) = (integer("axis").unwrap_or(0), integer("keepdims") != Some(0));
                self.place(&fields, operator == "ArgMax", axis, keep)
            }
            "MatMul" => self.product(&fields),
            "MaxPool" | "AveragePool" | "LpPool" => Self::pool(node, &fields),
            "Conv" | "ConvInteger" | "ConvTranspose" => self.convolution(node, &fields),
            "QuantizeLinear" if integer("axis").is_none() => Some(vec![with(node, &[attribute("axis", 1)])]),
            _ => self.within(&fields),
        }
    }

    /// A node with the graphs that are part of it in their new form; none if they stay.
    fn within(&mut self, fields: &[Part<'_>]) -> Option<Vec<Message>> {
        let mut changed = false;
        let mut node = Message::default();
        for part in fields {
            let attribute = match part.value {
                Wire::Bytes(attribute) if part.number == NODE_ATTRIBUTES => self.attribute(attribute),
                _ => None,
            };
            changed |= attribute.is_some();
            node = match attribute {
                Some(attribute) => node.message(NODE_ATTRIBUTES, &attribute),
                None => node.raw(part.raw),
            };
        }
        changed.then(|| vec![node])
    }

    fn attribute(&mut self, attribute: &[u8]) -> Option<Message> {
        let mut changed = false;
        let mut new = Message::default();
        for part in &parts(attribute)? {
            let graph = match part.value {
                Wire::Bytes(graph) if GRAPHS.contains(&part.number) => self.graph(graph),
                _ => None,
            };
            changed |= graph.is_some();
            new = match graph {
                Some(graph) => new.message(part.number, &graph),
                None => new.raw(part.raw),
            };
        }
        changed.then_some(new)
    }

    fn along_one_axis(&mut self, node: &[Part<'_>]) -> Option<Vec<Message>> {
        let (input, output, operator) = (text(node, 1)?, text(node, 2)?, text(node, 4)?);
        let axis = messages(node, NODE_ATTRIBUTES).filter_map(parts).find(|a| text(a, 1) == Some("axis"));
        let axis = axis.and_then(|attribute| int(&attribute, 3)).unwrap_or(1);
        let [shape, flat, shares] = ["shape", "flat", "shares"].map(|of| self.made(operator, of));
        self.number += 1;
        Some(vec![
            call("Shape", &[input], &shape),
            call("Flatten", &[input], &flat).message(NODE_ATTRIBUTES, &attribute("axis", axis)),
            call(operator, &[&flat], &shares).message(NODE_ATTRIBUTES, &attribute("axis", 1)),
            call("Reshape", &[&shares, &shape], output),
        ])
    }

    /// Whether numbers are not 0.
    fn truth(&mut self, node: &[Part<'_>]) -> Option<Vec<Message>> {
        let (input, output) = (text(node, 1)?, text(node, 2)?);
        let [numbers, zero, none] = ["numbers", "zero", "none"].map(|of| self.made("Cast", of));
        self.number += 1;
        Some(vec![
            cast(input, &numbers),
            nought(&zero),
            call("Equal", &[&numbers, &zero], &none),
            call("Not", &[&none], output),
        ])
    }

    /// 1 above 0, −1 below, else 0.
    fn sign(&mut self, node: &[Part<'_>]) -> Option<Vec<Message>> {
        let (input, output) = (text(node, 1)?, text(node, 2)?);
        let [zero, above, below, plus, minus] =
            ["zero", "above", "below", "plus", "minus"].map(|of| self.made("Sign", of));
        self.number += 1;
        Some(vec![
            nought(&zero),
            call("Greater", &[input, &zero], &above),
            call("Less", &[input, &zero], &below),
            cast(&above, &plus),
            cast(&below, &minus),
            call("Sub", &[&plus, &minus], output),
        ])
    }

    /// The place of the largest or smallest number along `axis`, the first of equals.
    fn place(&mut self, node: &[Part<'_>], largest: bool, axis: u64, keep: bool) -> Option<Vec<Message>> {
        let (input, output) = (text(node, 1)?, text(node, 2)?);
        let [one, values, places, axes] = ["one", "values", "places", "axes"].map(|of| self.made("Arg", of));
        self.number += 1;
        let places = if keep { output.to_owned() } else { places };
        let top = call("TopK", &[input, &one], &values).text(2, &places);
        let top = [("axis", axis), ("largest", u64::from(largest)), ("sorted", 1)]
            .iter()
            .fold(top, |top, (name, value)| top.message(NODE_ATTRIBUTES, &attribute(name, *value)));
        let mut nodes = vec![integers(&one, 1), top];
        if !keep {
            nodes.push(integers(&axes, axis));
            nodes.push(call("Squeeze", &[&places, &axes], output));
        }
        Some(nodes)
    }

    /// The product, whose second factor may be a vector.
    fn product(&mut self, node: &[Part<'_>]) -> Option<Vec<Message>> {
        let inputs: Vec<&[u8]> = messages(node, 1).collect();
        let [left, right] = inputs[..] else { return None };
        let (left, right) = (std::str::from_utf8(left).ok()?, std::str::from_utf8(right).ok()?);
        match (self.ranks.get(left), self.ranks.get(right)) {
            (Some(0..=2), _) | (_, Some(2..)) => None,
            (_, Some(_)) => self.product_with_vector(node, left, right),
            (_, None) => self.product_with_anything(node, left, right),
        }
    }

    fn product_with_vector(&mut self, node: &[Part<'_>], left: &str, right: &str) -> Option<Vec<Message>> {
        let [behind, column, last, kept] =
            ["behind", "column", "last", "kept"].map(|of| self.made("MatMul", of));
        self.number += 1;
        Some(vec![
            integers(&behind, 1),
            call("Unsqueeze", &[right, &behind], &column),
            call("MatMul", &[left, &column], &kept),
            integers(&last, u64::MAX),
            call("Squeeze", &[&kept, &last], text(node, 2)?),
        ])
    }

    /// As with a vector, if it is one: a vector of length k takes the shape `[k, 1]`, and the last axis of the product goes.
    fn product_with_anything(&mut self, node: &[Part<'_>], left: &str, right: &str) -> Option<Vec<Message>> {
        let names = [
            "nought", "one", "two", "shape", "rank", "least", "longer", "wanted", "factor", "kept", "whole",
            "axes",
        ];
        let [nought, one, two, shape, rank, least, longer, wanted, factor, kept, whole, axes] =
            names.map(|of| self.made("MatMul", of));
        let [surplus, end, cut] = ["surplus", "end", "cut"].map(|of| self.made("MatMul", of));
        self.number += 1;
        Some(vec![
            integers(&nought, 0),
            integers(&one, 1),
            integers(&two, 2),
            call("Shape", &[right], &shape),
            call("Shape", &[&shape], &rank),
            call("Max", &[&rank, &two], &least),
            call("Concat", &[&shape, &one], &longer).message(NODE_ATTRIBUTES, &attribute("axis", 0)),
            call("Slice", &[&longer, &nought, &least], &wanted),
            call("Reshape", &[right, &wanted], &factor),
            call("MatMul", &[left, &factor], &kept),
            call("Shape", &[&kept], &whole),
            call("Shape", &[&whole], &axes),
            call("Sub", &[&least, &rank], &surplus),
            call("Sub", &[&axes, &surplus], &end),
            call("Slice", &[&whole, &nought, &end], &cut),
            call("Reshape", &[&kept, &cut], text(node, 2)?),
        ])
    }

    /// The pool with steps of 1, where it says none.
    fn pool(node: &[u8], fields: &[Part<'_>]) -> Option<Vec<Message>> {
        let axes = numbers(fields, "kernel_shape")?.len();
        numbers(fields, "strides").is_none().then(|| vec![with(node, &[list("strides", &vec![1; axes])])])
    }

    /// The convolution with what the standard takes where it says nothing. Of `kernel_shape` the runtime reads the number of axes
    /// only, to know how many of these there are.
    fn convolution(&self, node: &[u8], fields: &[Part<'_>]) -> Option<Vec<Message>> {
        if numbers(fields, "kernel_shape").is_some() {
            return None;
        }
        let said = ["strides", "dilations"].into_iter().find_map(|name| Some(numbers(fields, name)?.len()));
        let padded = || Some(numbers(fields, "pads")?.len() / 2);
        let inputs: Vec<&str> =
            messages(fields, 1).filter_map(|name| std::str::from_utf8(name).ok()).collect();
        // Images and kernels have two axes more.
        let seen = || [1, 0].into_iter().find_map(|nth| self.ranks.get(inputs.get(nth)?)?.checked_sub(2));
        let axes = said.or_else(padded).or_else(seen)?;
        let defaults = [("strides", 1, axes), ("dilations", 1, axes), ("pads", 0, 2 * axes)];
        let missing = defaults.iter().filter(|(name, _, _)| numbers(fields, name).is_none());
        let missing: Vec<Message> =
            missing.map(|(name, value, count)| list(name, &vec![*value; *count])).collect();
        (!missing.is_empty()).then(|| vec![with(node, &missing)])
    }

    fn made(&self, operator: &str, of: &str) -> String {
        format!("nasty.{operator}.{}.{of}", self.number)
    }
}

/// The integers of the attribute `name`; none if it is not there.
fn numbers(node: &[Part<'_>], name: &str) -> Option<Vec<u64>> {
    let named = messages(node, NODE_ATTRIBUTES).filter_map(parts);
    named.filter(|attribute| text(attribute, 1) == Some(name)).find_map(|attribute| ints(&attribute, 8))
}

/// The node with more attributes.
fn with(node: &[u8], attributes: &[Message]) -> Message {
    let node = Message::default().raw(node);
    attributes.iter().fold(node, |node, attribute| node.message(NODE_ATTRIBUTES, attribute))
}

fn list(name: &str, values: &[u64]) -> Message {
    values.iter().fold(Message::default().text(1, name), |list, value| list.int(8, *value)).int(20, INTEGERS)
}

fn attribute(name: &str, value: u64) -> Message {
    Message::default().text(1, name).int(3, value).int(20, INTEGER)
}

fn cast(input: &str, output: &str) -> Message {
    call("Cast", &[input], output).message(NODE_ATTRIBUTES, &attribute("to", FLOAT))
}

/// The number 0.
fn nought(name: &str) -> Message {
    constant(name, &Message::default().int(2, FLOAT).bytes(9, &0f32.to_le_bytes()))
}

/// A vector of one integer, in two's complement.
fn integers(name: &str, value: u64) -> Message {
    constant(name, &Message::default().int(1, 1).int(2, INT64).bytes(9, &value.to_le_bytes()))
}

fn constant(name: &str, tensor: &Message) -> Message {
    let value = Message::default().text(1, "value").message(5, tensor).int(20, TENSOR);
    call("Constant", &[], name).message(NODE_ATTRIBUTES, &value)
}

fn call(operator: &str, inputs: &[&str], output: &str) -> Message {
    let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
    node.text(2, output).text(3, output).text(4, operator)
}
