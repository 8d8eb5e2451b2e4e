//! The graph as the built-in runtime computes it rightly.
//!
//! Before operator set 13, Softmax, LogSoftmax and Hardmax worked on the matrix `[product of the axes before axis, product of
//! the others]`, axis 1 by default. The runtime always computes them along one axis, as since operator set 13, which gives
//! other numbers on more than two axes (rten#1414). Each of them becomes Flatten, the same along axis 1, and Reshape back.

use super::graph::{GRAPH, NODES};
use crate::protobuf::{Message, int, messages, parts, text};

/// Since this operator set the three operators are what the runtime computes.
const SINCE: u64 = 13;
const OPERATORS: [&str; 3] = ["Softmax", "LogSoftmax", "Hardmax"];
const INTEGER: u64 = 2;

/// The model of operator set `opset` for the runtime; none if it is right as it is. Operators within other operators' graphs
/// stay as they are.
pub(super) fn rewritten(model: &[u8], opset: u64) -> Option<Vec<u8>> {
    if opset >= SINCE {
        return None;
    }
    let fields = parts(model)?;
    let graph = parts(messages(&fields, GRAPH).next()?)?;
    let old =
        |node: &[u8]| parts(node).is_some_and(|node| OPERATORS.contains(&text(&node, 4).unwrap_or_default()));
    if !messages(&graph, NODES).any(old) {
        return None;
    }
    let mut new = Message::default();
    let mut number = 0;
    for part in &graph {
        let node = match part.value {
            crate::protobuf::Wire::Bytes(node) if part.number == NODES && old(node) => node,
            _ => {
                new = new.raw(part.raw);
                continue;
            }
        };
        for node in along_one_axis(node, number)? {
            new = new.message(NODES, &node);
        }
        number += 1;
    }
    let rest = fields.iter().filter(|part| part.number != GRAPH);
    let model = rest.fold(Message::default(), |model, part| model.raw(part.raw));
    Some(model.message(GRAPH, &new).into_bytes())
}

/// The nodes in place of `node`.
fn along_one_axis(node: &[u8], number: usize) -> Option<[Message; 4]> {
    let node = parts(node)?;
    let (input, output, operator) = (text(&node, 1)?, text(&node, 2)?, text(&node, 4)?);
    let axis = messages(&node, 5).filter_map(parts).find(|attribute| text(attribute, 1) == Some("axis"));
    let axis = axis.and_then(|attribute| int(&attribute, 3)).unwrap_or(1);
    let at = |axis: u64| Message::default().text(1, "axis").int(3, axis).int(20, INTEGER);
    let made = |of: &str| format!("nasty.{operator}.{number}.{of}");
    let call = |inputs: &[&str], output: &str, operator: &str| {
        let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
        node.text(2, output).text(3, &made(operator)).text(4, operator)
    };
    let [shape, flat, shares] = ["shape", "flat", "shares"].map(made);
    Some([
        call(&[input], &shape, "Shape"),
        call(&[input], &flat, "Flatten").message(5, &at(axis)),
        call(&[&flat], &shares, operator).message(5, &at(1)),
        call(&[&shares, &shape], output, "Reshape"),
    ])
}
