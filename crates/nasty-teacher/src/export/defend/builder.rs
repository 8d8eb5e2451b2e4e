//! Adds nodes and constants one at a time: each call returns the name of a new value.

use super::super::messages::{FLOAT, INT64, int, ints};
use super::fragment::{Fragment, GraphInputs};
use crate::protobuf::Message;

/// A fragment under construction.
pub(super) struct Builder<'a> {
    pub(super) fragment: Fragment,
    pub(super) classes: usize,
    pub(super) opset: u64,
    pub(super) inputs: GraphInputs<'a>,
}

impl Builder<'_> {
    /// The largest of each row, `[batch, 1]`.
    pub(super) fn most(&mut self, values: &str) -> String {
        self.largest_along_1(values, 1)
    }

    /// The axes were an attribute until operator set 17, and are an input since 18.
    pub(super) fn largest_along_1(&mut self, values: &str, keep: usize) -> String {
        if self.opset < 18 {
            let attributes = int(ints(Message::default(), "axes", &[1]), "keepdims", keep);
            return self.with("ReduceMax", &[values], attributes);
        }
        let axis = self.integers(&[1], &[1]);
        self.with("ReduceMax", &[values, &axis], int(Message::default(), "keepdims", keep))
    }

    /// The sum of each row, `[batch, 1]`.
    pub(super) fn sum(&mut self, values: &str) -> String {
        let axis = self.integers(&[1], &[1]);
        self.one("ReduceSum", &[values, &axis])
    }

    pub(super) fn all_classes(&mut self) -> String {
        let classes: Vec<usize> = (0..self.classes).collect();
        self.integers(&classes, &[self.classes])
    }

    pub(super) fn one(&mut self, operator: &str, inputs: &[&str]) -> String {
        self.with(operator, inputs, Message::default())
    }

    pub(super) fn with(&mut self, operator: &str, inputs: &[&str], attributes: Message) -> String {
        let output = format!("defence.{}", self.fragment.nodes.len());
        self.push(operator, inputs, &[&output], attributes);
        output
    }

    pub(super) fn two(&mut self, operator: &str, inputs: &[&str], attributes: Message) -> [String; 2] {
        let outputs = ["values", "places"].map(|of| format!("defence.{}.{of}", self.fragment.nodes.len()));
        self.push(operator, inputs, &[&outputs[0], &outputs[1]], attributes);
        outputs
    }

    pub(super) fn push(&mut self, operator: &str, inputs: &[&str], outputs: &[&str], attributes: Message) {
        let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
        let node = outputs.iter().fold(node, |node, output| node.text(2, output));
        let label = format!("defence_{operator}_{}", self.fragment.nodes.len());
        self.fragment.nodes.push(node.text(3, &label).text(4, operator).append(attributes));
    }

    pub(super) fn number(&mut self, value: f64) -> String {
        self.floats(&format!("number_{value}"), &[value], &[])
    }

    pub(super) fn floats(&mut self, name: &str, values: &[f64], shape: &[usize]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect();
        self.keep(&format!("defence.{name}"), FLOAT, shape, &bytes)
    }

    pub(super) fn integers(&mut self, values: &[usize], shape: &[usize]) -> String {
        let listed: Vec<String> = values.iter().map(ToString::to_string).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|v| (*v as i64).to_le_bytes()).collect();
        self.keep(&format!("defence.integers_{}", listed.join("_")), INT64, shape, &bytes)
    }

    /// A constant's name. It is written once.
    pub(super) fn keep(&mut self, name: &str, kind: u64, shape: &[usize], bytes: &[u8]) -> String {
        let dims = shape.iter().fold(Message::default(), |message, dim| message.int(1, *dim as u64));
        let constant = dims.int(2, kind).text(8, name).bytes(9, bytes);
        if !self.fragment.constants.contains(&constant) {
            self.fragment.constants.push(constant);
        }
        name.to_owned()
    }
}
