//! ONNX export: the graph recorded by the network's own forward function, in ONNX's operators (onnx.ai/onnx/operators).
//!
//! Input `input` `[batch, channels, side, side]` of normalised images, output `logits` `[batch, classes]`; weights have
//! their PyTorch names. The field numbers are those of onnx.proto3.

use nasty_kernels::{Activation, Curve, MaxWindow};

use super::defend::{Answer, Fragment, GraphInputs, defend};
use super::messages::{FLOAT, INT64, IR_VERSION, METADATA, OPSET, int, ints, value};
use crate::defences::{ClassTails, DefenceError, Stack};
use crate::nets::{Graph, NamedTensor, Network, NetworkConfig, Node, Op, adaptive_shares};
use crate::protobuf::Message;

/// The network as an ONNX model; the configuration goes into its metadata.
pub(crate) fn to_onnx(network: &Network, config: &NetworkConfig) -> Vec<u8> {
    model(network, config, None)
}

/// The network behind a defence: the output is `probabilities` `[batch, classes]` in place of `logits`, which stay inside.
/// The metadata say which defence it is.
pub(crate) fn to_defended_onnx(
    network: &Network,
    config: &NetworkConfig,
    stack: &Stack,
    class_tails: Option<&ClassTails>,
) -> Result<Vec<u8>, DefenceError> {
    let inputs = GraphInputs { class_tails, ..GraphInputs::default() };
    let answer = Answer { name: "logits", classes: network.classes(), probabilities: false, opset: OPSET };
    let fragment = defend(stack, answer, "probabilities", inputs)?;
    Ok(model(network, config, Some((stack, fragment))))
}

fn model(network: &Network, config: &NetworkConfig, defence: Option<(&Stack, Fragment)>) -> Vec<u8> {
    let graph = network.graph();
    let tensors = network.state_dict();
    let mut writer = Writer {
        tensors: &tensors,
        graph: &graph,
        nodes: Vec::new(),
        constants: Vec::new(),
        flat: vec![false],
    };
    for (i, node) in graph.nodes().iter().enumerate() {
        writer.node(node, i + 1);
    }
    let logits = writer.vector(graph.logits());
    writer.push("Identity", &[&logits], "logits", Message::default());

    let mut message = Message::default();
    let added = defence.as_ref().map(|(_, fragment)| fragment);
    for node in writer.nodes.iter().chain(added.iter().flat_map(|added| &added.nodes)) {
        message = message.message(1, node);
    }
    message = message.text(2, &config.architecture.to_string());
    for tensor in &tensors {
        message = message.message(5, &initializer(tensor));
    }
    for constant in writer.constants.iter().chain(added.iter().flat_map(|added| &added.constants)) {
        message = message.message(5, constant);
    }
    let input = network.input();
    let [channels, side] = [input.channels, input.side].map(Some);
    message = message.message(11, &value("input", &[None, channels, side, side]));
    let output = if defence.is_some() { "probabilities" } else { "logits" };
    message = message.message(12, &value(output, &[None, Some(network.classes())]));

    let mut model = Message::default()
        .int(1, IR_VERSION)
        .text(2, "nasty-teacher")
        .text(3, env!("CARGO_PKG_VERSION"))
        .message(7, &message)
        .message(8, &Message::default().text(1, "").int(2, OPSET));
    let list = |numbers: &[f32]| serde_json::to_string(numbers).expect("numbers have a JSON form");
    let labels = serde_json::to_string(&config.label_names).expect("names have a JSON form");
    for (key, text) in [
        ("architecture", config.architecture.to_string()),
        ("num_classes", config.num_classes.to_string()),
        ("mean", list(&config.mean)),
        ("std", list(&config.std)),
        ("label_names", labels),
    ] {
        model = model.message(14, &Message::default().text(1, key).text(2, &text));
    }
    if let Some((stack, _)) = defence {
        model = model.message(14, &Message::default().text(1, METADATA).text(2, &stack.to_string()));
    }
    model.into_bytes()
}

struct Writer<'a> {
    tensors: &'a [NamedTensor],
    graph: &'a Graph,
    nodes: Vec<Message>,
    constants: Vec<Message>,
    /// Of each value: whether it is `[batch, channels]`, else `[batch, channels, height, width]`.
    flat: Vec<bool>,
}

impl Writer<'_> {
    /// Writes node `node`, which gives value `id`.
    fn node(&mut self, node: &Node, id: usize) {
        let none = Message::default();
        let input = name(node.inputs[0]);
        let output = name(id);
        let flat_input = self.flat[node.inputs[0]];
        let mut flat = flat_input;
        match &node.op {
            Op::Conv { weight, bias, side, stride, padding, groups } => {
                let mut inputs = vec![input, self.kernel(*weight)];
                inputs.extend(bias.map(|bias| self.tensor(bias)));
                let attributes = ints(none, "kernel_shape", &[*side; 2]);
                let attributes = ints(ints(attributes, "strides", &[*stride; 2]), "pads", &[*padding; 4]);
                self.push("Conv", &inputs, &output, int(attributes, "group", *groups));
            }
            Op::BatchNorm { weight, epsilon } => {
                let mut inputs = vec![input];
                inputs.extend((0..4).map(|i| self.tensor(weight + i)));
                self.push("BatchNormalization", &inputs, &output, float(none, "epsilon", *epsilon as f32));
            }
            Op::LayerNorm { weight, epsilon } => {
                // ONNX normalises over the last axes.
                let [turned, normal] = ["turned", "normal"].map(|step| format!("{output}.{step}"));
                let last = if flat_input {
                    input
                } else {
                    self.push("Transpose", &[input], &turned, ints(none, "perm", &[0, 2, 3, 1]));
                    turned
                };
                let to = if flat_input { &output } else { &normal };
                let inputs = [last, self.tensor(*weight), self.tensor(weight + 1)];
                let attributes = float(Message::default(), "epsilon", *epsilon as f32);
                let axis = Message::default().text(1, "axis").int(3, u64::MAX).int(20, 2);
                self.push("LayerNormalization", &inputs, to, attributes.message(5, &axis));
                if !flat_input {
                    let perm = ints(Message::default(), "perm", &[0, 3, 1, 2]);
                    self.push("Transpose", &[normal], &output, perm);
                }
            }
            Op::Scale { weight } => {
                let scale = self.tensor(*weight);
                self.push("Mul", &[input, scale], &output, none);
            }
            Op::Linear { weight } => {
                let inputs = [self.vector(node.inputs[0]), self.tensor(*weight), self.tensor(weight + 1)];
                self.push("Gemm", &inputs, &output, int(none, "transB", 1));
                flat = true;
            }
            Op::Activate(Activation::Relu) => self.push("Relu", &[input], &output, none),
            Op::Activate(Activation::Relu6) => {
                let [low, high] = [0.0, 6.0].map(|limit| self.number(limit));
                self.push("Clip", &[input, low, high], &output, none);
            }
            Op::Activate(Activation::None) => self.push("Identity", &[input], &output, none),
            Op::Curve(curve) => self.curve(*curve, input, &output),
            Op::Gate => self.push("Mul", &[input, name(node.inputs[1])], &output, none),
            Op::Add => self.push("Add", &[input, name(node.inputs[1])], &output, none),
            Op::Concat => self.push("Concat", &[input, name(node.inputs[1])], &output, int(none, "axis", 1)),
            Op::Channels { start, length } => {
                let bounds = [*start, start + length, 1].map(|bound| self.integers(&[bound]));
                let [first, end, axis] = bounds;
                self.push("Slice", &[input, first, end, axis], &output, none);
            }
            Op::ShuffleChannels { groups } => {
                let [h, w, c] = node.shape;
                // 0 keeps the batch.
                let split = self.integers(&[0, *groups, c / groups, h, w]);
                let join = self.integers(&[0, c, h, w]);
                let [grouped, turned] = ["grouped", "turned"].map(|step| format!("{output}.{step}"));
                self.push("Reshape", &[input, split], &grouped, Message::default());
                self.push("Transpose", &[&grouped], &turned, ints(none, "perm", &[0, 2, 1, 3, 4]));
                self.push("Reshape", &[turned, join], &output, Message::default());
            }
            Op::PadChannels { zeros } => {
                let pads = self.integers(&[0, *zeros, 0, 0, 0, *zeros, 0, 0]);
                self.push("Pad", &[input, pads], &output, none);
            }
            Op::MaxPool(MaxWindow { size, stride, padding }) => {
                let attributes = ints(ints(none, "kernel_shape", &[*size; 2]), "strides", &[*stride; 2]);
                self.push("MaxPool", &[input], &output, ints(attributes, "pads", &[*padding; 4]));
            }
            Op::AvgPool { size, stride } => {
                let attributes = ints(ints(none, "kernel_shape", &[*size; 2]), "strides", &[*stride; 2]);
                self.push("AveragePool", &[input], &output, attributes);
            }
            Op::AdaptivePool { size } => {
                // Rows · maps · columns, both matrices of shares.
                let [h, w, _] = self.graph.shape(node.inputs[0]);
                let rows = self.matrix(&format!("{output}.rows"), [*size, h], &adaptive_shares(*size, h));
                let columns = transposed(&adaptive_shares(*size, w), *size);
                let columns = self.matrix(&format!("{output}.columns"), [w, *size], &columns);
                let half = format!("{output}.half");
                self.push("MatMul", &[rows, input], &half, none);
                self.push("MatMul", &[half, columns], &output, Message::default());
            }
            Op::GlobalPool => self.push("GlobalAveragePool", &[input], &output, none),
            // Channel, row, column is ONNX's own order.
            Op::Flatten => {
                self.push("Flatten", &[input], &output, int(none, "axis", 1));
                flat = true;
            }
        }
        self.flat.push(flat);
    }

    /// The operators of a [`Curve`]; those of later operator sets are put together.
    fn curve(&mut self, curve: Curve, input: String, output: &str) {
        let none = Message::default();
        match curve {
            Curve::Sigmoid => self.push("Sigmoid", &[input], output, none),
            Curve::HardSwish => self.push("HardSwish", &[input], output, none),
            Curve::HardSigmoid => {
                let attributes = float(float(none, "alpha", 1.0 / 6.0), "beta", 0.5);
                self.push("HardSigmoid", &[input], output, attributes);
            }
            Curve::Silu => {
                let gate = format!("{output}.gate");
                self.push("Sigmoid", &[&input], &gate, none);
                self.push("Mul", &[input, gate], output, Message::default());
            }
            Curve::Gelu => {
                // x/2 · (1 + erf(x / √2)).
                let [scaled, error, shifted, half] =
                    ["scaled", "erf", "shifted", "half"].map(|step| format!("{output}.{step}"));
                let [root, one, two] =
                    [std::f32::consts::FRAC_1_SQRT_2, 1.0, 0.5].map(|number| self.number(number));
                self.push("Mul", &[&input, &root], &scaled, Message::default());
                self.push("Erf", &[&scaled], &error, Message::default());
                self.push("Add", &[&error, &one], &shifted, Message::default());
                self.push("Mul", &[&input, &two], &half, none);
                self.push("Mul", &[half, shifted], output, Message::default());
            }
        }
    }

    fn push(&mut self, operator: &str, inputs: &[impl AsRef<str>], output: &str, attributes: Message) {
        let mut node = Message::default();
        for input in inputs {
            node = node.text(1, input.as_ref());
        }
        let label = format!("{operator}_{}", self.nodes.len());
        self.nodes.push(node.text(2, output).text(3, &label).text(4, operator).append(attributes));
    }

    fn tensor(&self, number: usize) -> String {
        self.tensors[number].name.clone()
    }

    /// The name of a convolution's weight; that of a linear layer gets two dimensions more.
    fn kernel(&mut self, number: usize) -> String {
        let (name, shape) = (self.tensor(number), &self.tensors[number].shape);
        let [output, input] = shape[..] else { return name };
        let kernel = format!("{name}.kernel");
        let shape = self.integers(&[output, input, 1, 1]);
        self.push("Reshape", &[name, shape], &kernel, Message::default());
        kernel
    }

    /// The name of value `id` as `[batch, channels]`.
    fn vector(&mut self, id: usize) -> String {
        let name = name(id);
        if self.flat[id] {
            return name;
        }
        debug_assert_eq!(self.graph.shape(id)[..2], [1, 1], "only vectors are flattened without being asked");
        let flat = format!("{name}.flat");
        self.push("Flatten", &[&name], &flat, int(Message::default(), "axis", 1));
        flat
    }

    /// The name of a number, written once.
    fn number(&mut self, value: f32) -> String {
        let name = format!("number_{value}");
        self.keep(&name, Message::default().int(2, FLOAT).text(8, &name).bytes(9, &value.to_le_bytes()))
    }

    /// The name of a matrix.
    fn matrix(&mut self, name: &str, [rows, columns]: [usize; 2], values: &[f32]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let constant = Message::default().int(1, rows as u64).int(1, columns as u64).int(2, FLOAT);
        self.keep(name, constant.text(8, name).bytes(9, &bytes))
    }

    /// The name of a list of integers, written once.
    fn integers(&mut self, values: &[usize]) -> String {
        let listed: Vec<String> = values.iter().map(ToString::to_string).collect();
        let name = format!("integers_{}", listed.join("_"));
        let bytes: Vec<u8> = values.iter().flat_map(|v| (*v as i64).to_le_bytes()).collect();
        let constant = Message::default().int(1, values.len() as u64).int(2, INT64);
        self.keep(&name, constant.text(8, &name).bytes(9, &bytes))
    }

    fn keep(&mut self, name: &str, constant: Message) -> String {
        if !self.constants.contains(&constant) {
            self.constants.push(constant);
        }
        name.to_owned()
    }
}

/// A matrix of `rows` rows with its axes exchanged.
fn transposed(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows;
    (0..values.len()).map(|i| values[i % rows * columns + i / rows]).collect()
}

/// Name of value `id`.
fn name(id: usize) -> String {
    if id == 0 { "input".to_owned() } else { format!("value_{id}") }
}

fn initializer(tensor: &NamedTensor) -> Message {
    let dims = tensor.shape.iter().fold(Message::default(), |message, dim| message.int(1, *dim as u64));
    let bytes: Vec<u8> = tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect();
    dims.int(2, FLOAT).text(8, &tensor.name).bytes(9, &bytes)
}

fn float(attributes: Message, name: &str, value: f32) -> Message {
    attributes.message(5, &Message::default().text(1, name).float(2, value).int(20, 1))
}
