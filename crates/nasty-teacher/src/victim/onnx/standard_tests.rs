//! Graphs that the built-in runtime alone computes otherwise than the ONNX standard says, without a word: they are rewritten, or refused
//! with the reason. The expected numbers follow from the standard by hand; onnxruntime gives the same.

use super::session::{Here, Load, Numbers, Session};
use super::tests::{model, node, open};
use super::{Asking, rewrite};
use crate::protobuf::Message;
use rten::{Model, ValueView};

/// A graph, what goes in, and what the standard says comes out.
struct Case {
    what: &'static str,
    opset: u64,
    nodes: Vec<Message>,
    weights: Vec<Message>,
    /// Shape and numbers of `input`.
    input: (&'static [u64], &'static [f32]),
    /// Shape and numbers of `output`.
    expected: (&'static [usize], &'static [f32]),
}

fn attribute(name: &str, value: u64) -> Message {
    Message::default().text(1, name).int(3, value).int(20, 2)
}

fn list(name: &str, values: &[u64]) -> Message {
    values.iter().fold(Message::default().text(1, name), |list, value| list.int(8, *value)).int(20, 7)
}

fn word(name: &str, value: &str) -> Message {
    Message::default().text(1, name).text(4, value).int(20, 3)
}

fn tensor(name: &str, kind: u64, sides: &[u64], raw: &[u8]) -> Message {
    let tensor = sides.iter().fold(Message::default(), |tensor, side| tensor.int(1, *side));
    tensor.int(2, kind).text(8, name).bytes(9, raw)
}

fn floats(name: &str, sides: &[u64], values: &[f32]) -> Message {
    tensor(name, 1, sides, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
}

fn integers(name: &str, values: &[i64]) -> Message {
    tensor(name, 7, &[values.len() as u64], &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
}

fn with(node: Message, attributes: Vec<Message>) -> Message {
    attributes.iter().fold(node, |node, attribute| node.message(5, attribute))
}

fn cast(input: &str, output: &str, kind: u64) -> Message {
    with(node("Cast", &[input], output), vec![attribute("to", kind)])
}

fn cases() -> Vec<Case> {
    let arg = |operator: &str, more: Vec<Message>| {
        let node = with(node(operator, &["input"], "a"), vec![attribute("axis", 1)]);
        vec![with(node, more), cast("a", "output", 1)]
    };
    let branch = |name: &str, inner: Message| {
        let out = Message::default().text(1, name);
        let graph = Message::default().message(1, &inner).text(2, name).message(12, &out);
        Message::default().text(1, name).message(6, &graph).int(20, 5)
    };
    let both = vec![
        branch("then_branch", node("Softmax", &["input"], "then_branch")),
        branch("else_branch", node("Identity", &["input"], "else_branch")),
    ];
    vec![
        Case {
            what: "before operator set 13 a softmax is over all axes from axis 1 on",
            opset: 11,
            nodes: vec![node("Softmax", &["input"], "output")],
            weights: vec![],
            input: (&[1, 2, 2], &[7.0; 4]),
            expected: (&[1, 2, 2], &[0.25; 4]),
        },
        Case {
            what: "also in a graph within the graph",
            opset: 11,
            nodes: vec![with(node("If", &["yes"], "output"), both)],
            weights: vec![tensor("yes", 9, &[], &[1])],
            input: (&[1, 2, 2], &[7.0; 4]),
            expected: (&[1, 2, 2], &[0.25; 4]),
        },
        Case {
            what: "every number but 0 is true",
            opset: 13,
            nodes: vec![cast("input", "a", 9), cast("a", "output", 1)],
            weights: vec![],
            input: (&[4], &[-2.0, 0.5, 0.0, 3.0]),
            expected: (&[4], &[1.0, 1.0, 0.0, 1.0]),
        },
        Case {
            what: "not true is false",
            opset: 13,
            nodes: vec![cast("input", "a", 9), node("Not", &["a"], "b"), cast("b", "output", 1)],
            weights: vec![],
            input: (&[3], &[0.5, 0.0, 3.0]),
            expected: (&[3], &[0.0, 1.0, 0.0]),
        },
        Case {
            what: "0 has no sign",
            opset: 13,
            nodes: vec![node("Sign", &["input"], "output")],
            weights: vec![],
            input: (&[4], &[-3.0, -0.0, 0.0, 0.5]),
            expected: (&[4], &[-1.0, 0.0, 0.0, 1.0]),
        },
        Case {
            what: "of equal numbers the first is the largest",
            opset: 13,
            nodes: arg("ArgMax", vec![]),
            weights: vec![],
            input: (&[2, 3], &[2.0, 2.0, 1.0, 0.0, 5.0, 5.0]),
            expected: (&[2, 1], &[0.0, 1.0]),
        },
        Case {
            what: "and the smallest, also without its axis and in an old operator set",
            opset: 9,
            nodes: arg("ArgMin", vec![attribute("keepdims", 0)]),
            weights: vec![],
            input: (&[2, 3], &[2.0, 1.0, 1.0, 0.0, 0.0, 5.0]),
            expected: (&[2], &[1.0, 0.0]),
        },
        Case {
            what: "a product with a vector has an axis less",
            opset: 13,
            nodes: vec![node("MatMul", &["input", "w"], "output")],
            weights: vec![floats("w", &[2], &[1.0, 10.0])],
            input: (&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]),
            expected: (&[2, 1], &[21.0, 43.0]),
        },
        Case {
            what: "also if the file does not say that it is one",
            opset: 13,
            nodes: vec![node("Squeeze", &["w", "last"], "v"), node("MatMul", &["input", "v"], "output")],
            weights: vec![floats("w", &[2, 1], &[1.0, 10.0]), integers("last", &[1])],
            input: (&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]),
            expected: (&[2, 1], &[21.0, 43.0]),
        },
        Case {
            what: "a pool steps by 1 where it does not say how far",
            opset: 13,
            nodes: vec![with(node("MaxPool", &["input"], "output"), vec![list("kernel_shape", &[1, 2])])],
            weights: vec![],
            input: (&[1, 1, 1, 3], &[1.0, 3.0, 2.0]),
            expected: (&[1, 1, 1, 2], &[3.0, 3.0]),
        },
        Case {
            what: "so does one that averages",
            opset: 9,
            nodes: vec![with(node("AveragePool", &["input"], "output"), vec![list("kernel_shape", &[1, 2])])],
            weights: vec![],
            input: (&[1, 1, 1, 3], &[1.0, 3.0, 2.0]),
            expected: (&[1, 1, 1, 2], &[2.0, 2.5]),
        },
        Case {
            what: "a convolution's kernel has the shape of its weights",
            opset: 13,
            nodes: vec![node("Conv", &["input", "w"], "output")],
            weights: vec![floats("w", &[1, 1, 1, 2], &[1.0, 10.0])],
            input: (&[1, 1, 1, 3], &[1.0, 2.0, 3.0]),
            expected: (&[1, 1, 1, 2], &[21.0, 32.0]),
        },
        Case {
            what: "also where only the padding is said, of weights that are computed",
            opset: 13,
            nodes: vec![
                node("Mul", &["w", "ten"], "k"),
                node("Mul", &["input", "ten"], "a"),
                with(node("Conv", &["a", "k"], "output"), vec![list("pads", &[0, 1, 0, 0])]),
            ],
            weights: vec![floats("w", &[1, 1, 1, 2], &[1.0, 10.0]), floats("ten", &[1, 1, 1, 1], &[10.0])],
            input: (&[1, 1, 1, 2], &[1.0, 2.0]),
            expected: (&[1, 1, 1, 2], &[1000.0, 2100.0]),
        },
        Case {
            what: "and the other way round",
            opset: 13,
            nodes: vec![node("ConvTranspose", &["input", "w"], "output")],
            weights: vec![floats("w", &[1, 1, 1, 2], &[1.0, 10.0])],
            input: (&[1, 1, 1, 2], &[1.0, 2.0]),
            expected: (&[1, 1, 1, 3], &[1.0, 12.0, 20.0]),
        },
        Case {
            what: "numbers are quantised along axis 1 where no axis is said",
            opset: 13,
            nodes: vec![
                node("QuantizeLinear", &["input", "s", "z"], "q"),
                with(node("DequantizeLinear", &["q", "s", "z"], "output"), vec![attribute("axis", 1)]),
            ],
            weights: vec![floats("s", &[2], &[1.0, 8.0]), tensor("z", 2, &[2], &[0, 0])],
            input: (&[1, 2, 2], &[3.0, 5.0, 9.0, 15.0]),
            expected: (&[1, 2, 2], &[3.0, 5.0, 8.0, 16.0]),
        },
        Case {
            what: "copies in a row are not repeated elements",
            opset: 13,
            nodes: vec![
                node("Unsqueeze", &["input", "axes"], "a"),
                node("Expand", &["a", "wide"], "b"),
                node("Reshape", &["b", "flat"], "output"),
            ],
            weights: vec![
                integers("axes", &[1]),
                integers("wide", &[1, 2, 2, 1]),
                integers("flat", &[1, 4, 1]),
            ],
            input: (&[1, 2, 1], &[1.0, 2.0]),
            expected: (&[1, 4, 1], &[1.0, 2.0, 1.0, 2.0]),
        },
        Case {
            what: "a constant with more axes adds them",
            opset: 13,
            nodes: vec![node("Mul", &["input", "one"], "output")],
            weights: vec![floats("one", &[1, 1, 1], &[1.0])],
            input: (&[1, 2], &[3.0, 4.0]),
            expected: (&[1, 1, 2], &[3.0, 4.0]),
        },
    ]
}

#[test]
fn graphs_are_computed_as_the_standard_says_where_the_runtime_alone_does_not() {
    for Case { what, opset, nodes, weights, input, expected } in cases() {
        let bytes = model(opset, &nodes, &weights, input.0, &[]);
        let shape: Vec<usize> = input.0.iter().map(|side| *side as usize).collect();
        let alone = Model::load(bytes.clone()).expect("it loads");
        let view = ValueView::from_shape(&shape, input.1).expect("its shape");
        let output = alone.node_id("output").expect("an output");
        let found =
            alone.run(vec![(alone.node_id("input").expect("an input"), view.into())], &[output], None);
        let found = found.ok().and_then(|mut found| super::session::numbers(&found.remove(0)));
        let right = Numbers { shape: expected.0.to_vec(), values: expected.1.to_vec() };
        assert_ne!(found, Some(right.clone()), "{what}: the runtime needs no help any more");

        let model = rewrite::rewritten(&bytes, opset).unwrap_or(bytes);
        let load = Load { input: "input", bytes: false, output: "output", library: None, model: &model };
        let numbers = Numbers { shape, values: input.1.to_vec() };
        let found = Here::load(&load)
            .and_then(|graph| Ok(graph.run(&numbers)?))
            .unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(found, right, "{what}");
    }
}

#[test]
fn a_product_whose_factors_may_have_any_number_of_axes_is_right_for_each() {
    let axes = |name: &str| integers(name, &[0]);
    for (what, input, left, right, expected) in [
        (
            "a matrix",
            (&[2, 1, 2][..], vec![1.0f32, 2.0, 3.0, 4.0]),
            node("Identity", &["input"], "l"),
            floats("w", &[1, 2, 2], &[1.0, 0.0, 10.0, 1.0]),
            (vec![2, 1, 2], vec![21.0f32, 2.0, 43.0, 4.0]),
        ),
        (
            "matrices, one for each of the left ones",
            (&[2, 1, 2], vec![1.0, 2.0, 3.0, 4.0]),
            node("Identity", &["input"], "l"),
            floats("w", &[1, 2, 2, 1], &[1.0, 10.0, 100.0, 1000.0]),
            (vec![2, 1, 1], vec![21.0, 4300.0]),
        ),
        (
            "two vectors",
            (&[1, 2], vec![1.0, 2.0]),
            node("Squeeze", &["input", "first"], "l"),
            floats("w", &[1, 2], &[1.0, 10.0]),
            (vec![1], vec![21.0]),
        ),
    ] {
        let nodes = [
            left,
            node("Squeeze", &["w", "first"], "r"),
            node("MatMul", &["l", "r"], "p"),
            node("Reshape", &["p", "shape"], "output"),
        ];
        let shape: Vec<i64> = expected.0.iter().map(|side: &usize| *side as i64).collect();
        let weights = [right, axes("first"), integers("shape", &shape)];
        let sides: Vec<u64> = input.0.iter().map(|side: &usize| *side as u64).collect();
        let bytes = rewrite::rewritten(&model(13, &nodes, &weights, &sides, &[]), 13);
        let model = bytes.expect("the rank of the right factor is not said");
        let load = Load { input: "input", bytes: false, output: "output", library: None, model: &model };
        let numbers = Numbers { shape: input.0.to_vec(), values: input.1 };
        let found = Here::load(&load).and_then(|graph| Ok(graph.run(&numbers)?));
        assert_eq!(found, Ok(Numbers { shape: expected.0, values: expected.1 }), "{what}");
    }
}

#[test]
fn what_the_runtime_would_compute_wrongly_and_has_no_other_form_is_refused() {
    let pool = |padding: &str, kernel: u64, stride: u64, pads: &[u64]| {
        let attributes = vec![
            word("auto_pad", padding),
            list("kernel_shape", &[kernel; 2]),
            list("strides", &[stride; 2]),
            list("pads", pads),
        ];
        vec![with(node("MaxPool", &["input"], "a"), attributes), node("GlobalAveragePool", &["a"], "output")]
    };
    let then_mean = |node: Message| vec![node, self::node("GlobalAveragePool", &["a"], "output")];
    let norm = node("BatchNormalization", &["input", "w", "w", "w", "w"], "a");
    let norm = ["b", "c", "d", "e"].iter().fold(norm, |norm, output| norm.text(2, output));
    let ones = floats("w", &[3], &[1.0; 3]);
    let add = node("Add", &["input", "w"], "a");
    for (opset, nodes, weights, words) in [
        (13, pool("SAME_LOWER", 2, 2, &[]), vec![], "MaxPool with auto_pad SAME_LOWER"),
        (13, pool("SAME_LOWER", 3, 2, &[]), vec![], "silently replace by SAME_UPPER"),
        (13, pool("VALID", 2, 1, &[1, 0, 0, 0]), vec![], "MaxPool with auto_pad VALID and pads"),
        (15, then_mean(node("CastLike", &["input", "w"], "a")), vec![ones], "the operator CastLike"),
        (26, then_mean(with(node("BitCast", &["input"], "a"), vec![attribute("to", 6)])), vec![], "BitCast"),
        (13, then_mean(node("NonMaxSuppression", &["input", "input"], "a")), vec![], "NonMaxSuppression"),
        (13, then_mean(add), vec![integers("w", &[1 << 40])], "the number 1099511627776, and"),
        // In training, statistics are those of the batch.
        (9, then_mean(norm), vec![floats("w", &[3], &[0.5; 3])], "unsupported output"),
    ] {
        let bytes = model(opset, &nodes, &weights, &[0, 3, 4, 4], &[0, 3, 1, 1]);
        let error = open(&bytes, &Asking::default()).err().expect(words).to_string();
        assert!(error.contains(words), "{error} without {words}");
    }
    // Where as much is padded on both sides, lower is upper; and ends "as far as it goes" are no number that is too large.
    for nodes in [pool("SAME_LOWER", 3, 1, &[]), pool("SAME_UPPER", 2, 2, &[]), pool("VALID", 2, 2, &[0; 4])]
    {
        open(&model(13, &nodes, &[], &[0, 3, 4, 4], &[0, 3, 1, 1]), &Asking::default()).expect("it is right");
    }
    let slice = then_mean(node("Slice", &["input", "from", "to", "axes"], "a"));
    let weights = [integers("from", &[1]), integers("to", &[i64::MAX]), integers("axes", &[2])];
    open(&model(13, &slice, &weights, &[0, 3, 4, 4], &[0, 3, 1, 1]), &Asking::default())
        .expect("it is right");
}

#[test]
fn a_graph_that_draws_random_numbers_says_so() {
    let nodes =
        [node("Dropout", &["input", "half", "yes"], "a"), node("GlobalAveragePool", &["a"], "output")];
    let weights = [floats("half", &[], &[0.5]), tensor("yes", 9, &[], &[1])];
    let victim = open(&model(13, &nodes, &weights, &[0, 3, 8, 8], &[0, 3, 1, 1]), &Asking::default());
    let notes = victim.expect("it answers").notes().join("\n");
    assert!(notes.contains("answers to the same image differ"), "{notes}");
}
