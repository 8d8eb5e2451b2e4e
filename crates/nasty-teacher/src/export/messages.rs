//! What exported ONNX files are made of. The field numbers are those of onnx.proto3.

use crate::protobuf::Message;

/// Version of ONNX's operator set that is written.
pub(super) const OPSET: u64 = 17;
/// The file format version that came with that operator set (ONNX 1.12).
pub(super) const IR_VERSION: u64 = 8;
pub(super) const FLOAT: u64 = 1;
pub(super) const INT64: u64 = 7;
/// The key of the metadata that says which defence a file carries.
pub(super) const METADATA: &str = "defence";

/// A float32 input or output; `None` is the batch.
pub(super) fn value(name: &str, shape: &[Option<usize>]) -> Message {
    let dimension = |dim: &Option<usize>| match dim {
        Some(length) => Message::default().int(1, *length as u64),
        None => Message::default().text(2, "batch"),
    };
    let shape = shape.iter().fold(Message::default(), |message, dim| message.message(1, &dimension(dim)));
    let tensor = Message::default().int(1, FLOAT).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}

/// A node's `attributes` and one more: a list of integers.
pub(super) fn ints(attributes: Message, name: &str, values: &[usize]) -> Message {
    let attribute =
        values.iter().fold(Message::default().text(1, name), |message, v| message.int(8, *v as u64));
    attributes.message(5, &attribute.int(20, 7))
}

pub(super) fn int(attributes: Message, name: &str, value: usize) -> Message {
    attributes.message(5, &Message::default().text(1, name).int(3, value as u64).int(20, 2))
}
