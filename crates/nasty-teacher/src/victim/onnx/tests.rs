use super::session::{Here, Numbers};
use super::*;
use crate::data::ImageSet;
use crate::device::device;
use crate::export::export;
use crate::nets::{Architecture, NetworkConfig};
use crate::protobuf::Message;
use crate::victim::{ChannelOrder, Layout, OwnNetwork, White};
use burn::tensor::Device;
use std::fs;

/// A model of `nodes` from `input` to `output`, whose axes of size 0 are open.
pub(super) fn model(
    opset: u64,
    nodes: &[Message],
    weights: &[Message],
    input: &[u64],
    output: &[u64],
) -> Vec<u8> {
    let value = |name: &str, axes: &[u64]| {
        let axis = |axis: &u64| {
            if *axis == 0 { Message::default().text(2, "n") } else { Message::default().int(1, *axis) }
        };
        let shape = axes.iter().fold(Message::default(), |shape, side| shape.message(1, &axis(side)));
        let tensor = Message::default().int(1, FLOAT).message(2, &shape);
        Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
    };
    let graph = nodes.iter().fold(Message::default(), |graph, node| graph.message(1, node));
    let graph = weights.iter().fold(graph.text(2, "g"), |graph, weight| graph.message(5, weight));
    let graph = graph.message(11, &value("input", input)).message(12, &value("output", output));
    let set = Message::default().text(1, "").int(2, opset);
    Message::default().int(1, 8).message(7, &graph).message(8, &set).into_bytes()
}

pub(super) fn node(operator: &str, inputs: &[&str], output: &str) -> Message {
    let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
    node.text(2, output).text(3, output).text(4, operator)
}

/// Means of the channels as answers `[n, 3, 1, 1]`.
fn channel_means(opset: u64, batch: u64) -> Vec<u8> {
    let nodes = [node("GlobalAveragePool", &["input"], "output")];
    model(opset, &nodes, &[], &[batch, 3, 2, 2], &[batch, 3, 1, 1])
}

fn images() -> ImageSet {
    let pixels = (0..5 * 12).map(|i: u32| (i * 83 % 256) as u8).collect();
    ImageSet::new(2, 2, 3, pixels, vec![0; 5])
}

pub(super) fn open(bytes: &[u8], asking: &Asking) -> Result<Onnx, VictimError> {
    let folder = tempfile::tempdir().expect("temp");
    let path = folder.path().join("m.onnx");
    fs::write(&path, bytes).expect("writable");
    Onnx::open(&path, asking, &Runtime::Here)
}

fn rows(victim: &Onnx) -> Vec<f32> {
    victim.ask(&Request::unchanged(&images())).expect("it answers").rows
}

/// Mean of each channel of each image, on bytes.
fn means() -> Vec<f32> {
    let mean =
        |image: &[u8], c: usize| image.iter().skip(c).step_by(3).map(|p| f32::from(*p)).sum::<f32>() / 4.0;
    images().images().flat_map(|image| (0..3).map(|c| mean(image, c)).collect::<Vec<_>>()).collect()
}

fn near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{found:?} {expected:?}");
    }
}

#[test]
fn our_own_export_answers_like_the_network_and_nothing_is_guessed() {
    let folder = tempfile::tempdir().expect("temp");
    let path = folder.path().join("m.onnx");
    let flex = device("flex").expect("the CPU");
    let architecture: Architecture = "cnn2".parse().expect("a name");
    let input = crate::nets::Input { channels: 3, side: 16 };
    let network = architecture.build(4, input, 1, &flex).expect("built");
    let labels = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let config = NetworkConfig::new(&network, vec![0.4; 3], vec![0.25; 3], labels.clone());
    export(&path, &network, &config).expect("writable");
    let victim = Onnx::open(&path, &Asking::default(), &Runtime::Here).expect("a classifier");
    assert_eq!((victim.guesses(), victim.scale(), victim.names()), (&[][..], Scale::Logits, &labels[..]));
    assert_eq!(victim.input(), Some(input));
    let images =
        ImageSet::new(16, 16, 3, (0..70 * 768).map(|i: u32| (i * 37 % 253) as u8).collect(), vec![0; 70]);
    let request = Request::unchanged(&images);
    let normalisation = crate::data::Normalisation { mean: vec![0.4; 3], std: vec![0.25; 3] };
    let own = OwnNetwork::new(&network, normalisation, "w".into(), &Device::flex());
    near(&victim.ask(&request).expect("it answers").rows, &own.ask(&request).expect("it answers").rows);
    assert_eq!(victim.queries(), 70);
    let wrong = ImageSet::new(8, 8, 3, vec![0; 192], vec![0]);
    let error = victim.ask(&Request::unchanged(&wrong)).expect_err("another size").to_string();
    assert!(error.contains("16×16×3") && error.contains("8×8×3"), "{error}");
}

#[test]
fn scale_normalisation_order_of_colours_and_batch_are_followed() {
    let open = |asking: Asking, batch| open(&channel_means(13, batch), &asking).expect("a classifier");
    let full = Asking { white: Some(White::Full), ..Asking::default() };
    for batch in [0, 1, 2, 3] {
        near(&rows(&open(full.clone(), batch)), &means());
    }
    let expected: Vec<f32> = means().iter().map(|m| m / 255.0).collect();
    let guessed = open(Asking::default(), 1);
    near(&rows(&guessed), &expected);
    assert_eq!(guessed.guesses(), [Guess::White, Guess::Normalisation, Guess::Channels, Guess::Output]);
    let asking = Asking {
        channels: Some(ChannelOrder::Bgr),
        mean: Some(vec![1.0, 2.0, 3.0]),
        std: Some(vec![2.0]),
        ..full
    };
    let expected: Vec<f32> = means()
        .chunks(3)
        .flat_map(|rgb| [(rgb[2] - 1.0) / 2.0, (rgb[1] - 2.0) / 2.0, (rgb[0] - 3.0) / 2.0])
        .collect();
    let victim = open(asking, 0);
    near(&rows(&victim), &expected);
    assert_eq!(victim.scale(), Scale::Logits);
}

#[test]
fn the_last_axis_may_be_the_colours() {
    // [n, 2, 2, 3] → Transpose → means.
    let perm = Message::default().text(1, "perm").int(8, 0).int(8, 3).int(8, 1).int(8, 2).int(20, 7);
    let nodes = [
        node("Transpose", &["input"], "t").message(5, &perm),
        node("GlobalAveragePool", &["t"], "p"),
        node("Flatten", &["p"], "output"),
    ];
    let bytes = model(13, &nodes, &[], &[0, 2, 2, 3], &[0, 3]);
    let full = Asking { white: Some(White::Full), ..Asking::default() };
    let victim = open(&bytes, &full).expect("a classifier");
    assert_eq!(victim.encoding().layout, Layout::Nhwc);
    near(&rows(&victim), &means());
    let error =
        open(&bytes, &Asking { layout: Some(Layout::Nchw), ..full }).err().expect("two channels").to_string();
    assert!(error.contains("1 or 3 channels") && error.contains("m.onnx"), "{error}");
}

#[test]
fn old_softmax_is_rewritten() {
    let bytes = |opset| {
        let nodes = [node("GlobalAveragePool", &["input"], "p"), node("Softmax", &["p"], "output")];
        model(opset, &nodes, &[], &[0, 3, 2, 2], &[0, 3, 1, 1])
    };
    // The runtime alone takes the last axis of [n, 3, 1, 1]: 1 everywhere.
    let load = Load { input: "input", bytes: false, output: "output", library: None, model: &bytes(9) };
    let alone = Here::load(&load).expect("it loads");
    let input = Numbers { shape: vec![1, 3, 2, 2], values: (0..12).map(|v| v as f32).collect() };
    assert_eq!(alone.run(&input).expect("it runs").values, [1.0; 3]);
    let victim = open(&bytes(9), &Asking::default()).expect("a classifier");
    assert_eq!(victim.scale(), Scale::Probabilities);
    let expected: Vec<f32> = means()
        .chunks(3)
        .flat_map(|row| {
            let weights: Vec<f32> = row.iter().map(|m| (m / 255.0).exp()).collect();
            let sum: f32 = weights.iter().sum();
            weights.into_iter().map(move |w| w / sum)
        })
        .collect();
    near(&rows(&victim), &expected);
    // Since operator set 13 the last axis is meant.
    assert_eq!(rows(&open(&bytes(13), &Asking::default()).expect("a classifier")), [1.0; 15]);
}

#[test]
fn what_cannot_be_asked_is_refused_with_the_reason() {
    let mean = || node("GlobalAveragePool", &["input"], "output");
    let of = |node: Message, input: &[u64]| model(13, &[node], &[], input, &[0, 3]);
    let weight = |sides: &[u64], bytes: &[u8]| {
        sides
            .iter()
            .fold(Message::default(), |w, side| w.int(1, *side))
            .int(2, FLOAT)
            .text(8, "w")
            .bytes(9, bytes)
    };
    let cubic = Message::default().text(1, "mode").text(4, "cubic").int(20, 3);
    let with = |weight: Message| model(13, &[mean()], &[weight], &[0, 3, 2, 2], &[0, 3]);
    let deep = (0..12).fold(Message::default(), |graph, _| {
        Message::default().message(
            1,
            &node("If", &[], "x").message(5, &Message::default().text(1, "then_branch").message(6, &graph)),
        )
    });
    let then = Message::default().text(1, "then_branch").message(6, &deep);
    for (bytes, words) in [
        (b"no model".to_vec(), "no protobuf message"),
        (Vec::new(), "found no graph"),
        (channel_means(6, 0), "operator set 7 or later, found 6"),
        (of(mean(), &[0, 3, 2]), "expected four axes, found 3"),
        (of(mean(), &[0, 3, 4, 8]), "square images, found 4×8"),
        (of(mean(), &[0, 5, 4, 4]), "1 or 3 channels"),
        (of(mean(), &[100, 3, 4, 4]), "at most 64 images, found 100"),
        (of(mean(), &[0, 3, 1 << 20, 1 << 20]), "a side of 1 to 1024"),
        (of(node("NoSuchOperator", &["input"], "output"), &[0, 3, 2, 2]), "NoSuchOperator"),
        (of(node("Resize", &["input"], "output").message(5, &cubic), &[0, 3, 2, 2]), "cubic interpolation"),
        (
            of(node("Identity", &["input"], "output"), &[0, 3, 2, 2]),
            "expected answers [1, classes], found numbers of shape [1, 3, 2, 2]",
        ),
        (of(node("If", &["input"], "output").message(5, &then), &[0, 3, 2, 2]), "8 deep"),
        (with(weight(&[1 << 40, 1 << 40], &[])), "impossible shape"),
        (with(weight(&[1000], &[0; 8])), "has 8 bytes, expected 4000"),
        (with(Message::default().int(1, 1 << 30).int(2, FLOAT).text(8, "w")), "fewer numbers"),
        (with(weight(&[2], &[]).int(14, 1)), "in another file"),
    ] {
        let error = open(&bytes, &Asking::default()).err().expect(words).to_string();
        assert!(error.contains(words) && error.contains("m.onnx"), "{error} without {words}");
    }
    let error =
        open(&channel_means(13, 0), &Asking { output: Some(Scale::Probabilities), ..Asking::default() });
    assert!(error.err().expect("means do not sum to 1").to_string().contains("a row sums to"));
    let missing = Onnx::open(Path::new("/no/such.onnx"), &Asking::default(), &Runtime::Here);
    assert!(matches!(missing, Err(VictimError::Io { .. })));
}

#[test]
fn an_answer_that_is_no_number_is_an_error() {
    // ln of the means: −∞ for a black channel.
    let nodes = [node("GlobalAveragePool", &["input"], "p"), node("Log", &["p"], "output")];
    let bytes = model(13, &nodes, &[], &[0, 3, 2, 2], &[0, 3, 1, 1]);
    let error = open(&bytes, &Asking::default()).err().expect("black is a test pattern").to_string();
    assert!(error.contains("its answer to a test pattern has -inf"), "{error}");
}

#[test]
fn a_graph_that_mixes_its_images_is_asked_about_one_at_a_time() {
    // Subtracts the mean over the whole batch.
    let axes = Message::default().int(1, 1).int(2, 7).text(8, "axes").bytes(9, &0i64.to_le_bytes());
    let nodes = [
        node("GlobalAveragePool", &["input"], "p"),
        node("Flatten", &["p"], "f"),
        node("ReduceSum", &["f", "axes"], "s"),
        node("Sub", &["f", "s"], "d"),
        node("Add", &["d", "f"], "output"),
    ];
    let victim =
        open(&model(13, &nodes, &[axes], &[0, 3, 2, 2], &[0, 3]), &Asking::default()).expect("a classifier");
    assert!(victim.notes().iter().any(|note| note.contains("one image at a time")), "{:?}", victim.notes());
    let expected: Vec<f32> = means().iter().map(|m| m / 255.0).collect();
    near(&rows(&victim), &expected);
}

#[test]
fn files_cut_or_changed_anywhere_never_panic() {
    let bytes = channel_means(9, 0);
    for end in 0..bytes.len() {
        let _ = open(&bytes[..end], &Asking::default());
    }
    for at in 0..bytes.len() {
        for change in [1u8, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            let _ = open(&changed, &Asking::default());
        }
    }
}

#[test]
fn a_worker_speaks_of_what_it_does() {
    use super::frames::tests::conversation;
    use super::worker::serve;
    let model = channel_means(13, 0);
    let (load, run, junk) = conversation(&model);
    let mut said = Vec::new();
    serve(&[load, run, junk].concat()[..], &mut said).expect("it ends with its input");
    let text = String::from_utf8_lossy(&said).into_owned();
    assert!(said.len() > 60 && text.contains("a damaged request"), "{text}");
    serve(&[2u8, 255, 255, 255, 255, 255, 255, 255, 255][..], &mut said).expect_err("a frame of any length");
}
