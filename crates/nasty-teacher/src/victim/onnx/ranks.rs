//! How many axes the values of a graph have, as far as the file says so: of weights and constants, of described values, and of what
//! operators make of them that keep the axes of their first input.

use super::graph::{GRAPHS, INITIALIZERS, NODE_ATTRIBUTES, NODES, VALUES};
use crate::protobuf::{Part, ints, messages, parts, text};
use std::collections::BTreeMap;

/// Operators whose outputs have the axes of their first input.
const KEEPERS: [&str; 26] = [
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "DequantizeLinear",
    "Dropout",
    "Elu",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LRN",
    "LeakyRelu",
    "LogSoftmax",
    "MaxPool",
    "Pad",
    "QuantizeLinear",
    "Relu",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Transpose",
];

/// The number of axes of values by their names.
#[derive(Debug, Default)]
pub(super) struct Ranks(BTreeMap<String, usize>);

impl Ranks {
    /// Those of the values in `graph` and in the graphs in it.
    pub(super) fn of(graph: &[u8]) -> Self {
        let mut ranks = Self::default();
        ranks.read(graph);
        ranks
    }

    pub(super) fn get(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }

    fn read(&mut self, graph: &[u8]) {
        let graph = parts(graph).unwrap_or_default();
        for weight in messages(&graph, INITIALIZERS).filter_map(parts) {
            self.add(text(&weight, 8), of_tensor(&weight));
        }
        for value in VALUES.iter().flat_map(|number| messages(&graph, *number)).filter_map(parts) {
            let kind = within(&value, 2).and_then(|kind| within(&kind, 1));
            let shape = kind.and_then(|tensor| within(&tensor, 2));
            let rank = shape.map(|shape| messages(&shape, 1).count());
            // A shape without axes is written by some for one that is not known.
            self.add(text(&value, 1), rank.filter(|rank| *rank > 0));
        }
        for node in messages(&graph, NODES).filter_map(parts) {
            self.read_node(&node);
        }
    }

    fn read_node(&mut self, node: &[Part<'_>]) {
        let (operator, output) = (text(node, 4).unwrap_or_default(), messages(node, 2).next());
        let output = output.and_then(|name| std::str::from_utf8(name).ok());
        for attribute in messages(node, NODE_ATTRIBUTES).filter_map(parts) {
            if operator == "Constant" {
                self.add(output, within(&attribute, 5).and_then(|tensor| of_tensor(&tensor)));
            }
            for graph in GRAPHS.iter().flat_map(|number| messages(&attribute, *number)) {
                self.read(graph);
            }
        }
        let first = messages(node, 1).next().and_then(|name| std::str::from_utf8(name).ok());
        if let Some(rank) = first.filter(|_| KEEPERS.contains(&operator)).and_then(|name| self.get(name)) {
            self.add(output, Some(rank));
        }
    }

    fn add(&mut self, name: Option<&str>, rank: Option<usize>) {
        if let (Some(name), Some(rank)) = (name, rank) {
            self.0.insert(name.to_owned(), rank);
        }
    }
}

fn of_tensor(tensor: &[Part<'_>]) -> Option<usize> {
    Some(ints(tensor, 1)?.len())
}

/// The message in a field of a message.
fn within<'a>(message: &[Part<'a>], number: u64) -> Option<Vec<Part<'a>>> {
    messages(message, number).last().and_then(parts)
}
