//! ONNX exports say what the network says, in another runtime (rten). `tools/verify_weights.py` checks the same with
//! ONNX's own checker and onnxruntime.

mod settled;

use nasty_teacher::defences::{Defence, ImageId, Query, Row, Secret, Stack};
use nasty_teacher::device::device;
use nasty_teacher::export::{export, export_defended};
use nasty_teacher::nets::{Architecture, Input, NetworkConfig};
use rten::{Model, Value};
use settled::{Settled, settled};

const CLASSES: usize = 7;
const BATCH: usize = 3;

/// One of each family, and the small ones of all depths: the rest is more of the same layers.
fn architectures() -> impl Iterator<Item = Architecture> {
    let large = [
        "resnet34",
        "resnet101",
        "wrn-28-10",
        "densenet161",
        "densenet169",
        "preresnet110",
        "resnet110",
        "tv-resnet34",
        "tv-resnet101",
        "tv-wide_resnet50_2",
        "tv-vgg16_bn",
        "kd-resnet32",
        "kd-resnet44",
        "kd-resnet56",
        "kd-resnet110",
        "kd-resnet32x4",
        "kd-vgg13",
        "kd-vgg16",
    ];
    Architecture::all().filter(move |a| !large.contains(&a.to_string().as_str()))
}

#[test]
fn another_runtime_gives_the_same_logits() {
    let folder = tempfile::tempdir().expect("temp");
    let path = folder.path().join("model.onnx");
    let flex = device("flex").expect("the CPU");
    for architecture in architectures() {
        let inputs = match architecture.to_string().as_str() {
            "cnn" | "preresnet20" | "resnet20" => vec![(3, 32), (1, 28), (3, 40)],
            name if name.starts_with("tv-") || name.starts_with("timm-") => vec![(3, 64)],
            _ => vec![(3, 32)],
        };
        for (channels, side) in inputs {
            let input = Input { channels, side };
            let Settled { network, images, logits } =
                settled(architecture, CLASSES, input, BATCH, &flex).expect("it can be built");
            let labels = (0..CLASSES).map(|c| c.to_string()).collect();
            let config = NetworkConfig::new(&network, vec![0.5; channels], vec![0.25; channels], labels);
            export(&path, &network, &config).expect("writable");
            let model = Model::load(std::fs::read(&path).expect("written")).expect("a valid model");
            let run = |images: &[f32], batch: usize| -> Vec<f32> {
                let value =
                    Value::from_shape([batch, channels, side, side], images.to_vec()).expect("its shape");
                let output = model.run_one(value.into(), None).expect("it runs");
                let (shape, logits) = output.into_shape_vec::<f32, 2>().expect("float logits");
                assert_eq!(shape, [batch, CLASSES]);
                logits
            };
            let found = run(&images, BATCH);
            // Logits that hardly depend on the image would agree whatever the network did with it.
            let spread =
                (0..logits.len()).map(|i| (logits[i] - logits[i % CLASSES]).abs()).fold(0.0, f32::max);
            let most = logits.iter().fold(0.0f32, |most, v| most.max(v.abs()));
            assert!(spread > 0.01 * most, "{architecture}: the logits do not depend on the image");
            let off = found.iter().zip(&logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // rten is up to 7e-4 away on EfficientNet, where ours is 6e-7 away from float64 (the golden values).
            let most = if architecture.to_string() == "tv-efficientnet_b0" { 2e-3 } else { 3e-4 };
            assert!(off <= most * spread, "{architecture} at {input:?}: off by {off}, of {spread}");
            // Any batch size.
            let one = run(&images[..images.len() / BATCH], 1);
            let off = one.iter().zip(&logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off <= most * spread, "{architecture} at {input:?}, a batch of one: off by {off}");
        }
    }
}

#[test]
fn a_network_exported_behind_a_defence_serves_its_rows() {
    let folder = tempfile::tempdir().expect("temp");
    let path = folder.path().join("protected.onnx");
    let flex = device("flex").expect("the CPU");
    let input = Input { channels: 3, side: 32 };
    let Settled { network, images, logits } =
        settled("cnn".parse().expect("a name"), CLASSES, input, BATCH, &flex).expect("it can be built");
    let labels = (0..CLASSES).map(|c| c.to_string()).collect();
    let config = NetworkConfig::new(&network, vec![0.5; 3], vec![0.25; 3], labels);
    let stack: Stack = "temperature:2+flat-tail".parse().expect("a text");
    export_defended(&path, &network, &config, &stack, None).expect("it can be expressed");
    let bytes = std::fs::read(&path).expect("written");
    let model = Model::load(bytes.clone()).expect("a valid model");
    let value = Value::from_shape([BATCH, 3, 32, 32], images).expect("its shape");
    let output = model.run_one(value.into(), None).expect("it runs");
    let (shape, served) = output.into_shape_vec::<f32, 2>().expect("float probabilities");
    assert_eq!(shape, [BATCH, CLASSES]);
    assert_eq!(model.output_ids().len(), 1, "the logits stay inside");
    let text = b"temperature:2+flat-tail";
    assert!(bytes.windows(text.len()).any(|window| window == text), "the file says which defence it carries");
    let secret = Secret::of(b"owner");
    for (served, logits) in served.chunks(CLASSES).zip(logits.chunks(CLASSES)) {
        let clean =
            Row::from_logits(&logits.iter().map(|z| f64::from(*z)).collect::<Vec<_>>()).expect("logits");
        let expected = stack.serve(&clean, &Query::new(ImageId::of(b"x"), &secret, 0)).expect("no inputs");
        for (found, expected) in served.iter().zip(expected.probabilities()) {
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{found} {expected}");
        }
    }
    let noise: Stack = "gaussian-noise".parse().expect("a text");
    let refused = export_defended(&path, &network, &config, &noise, None).expect_err("random");
    assert_eq!(refused.to_string(), "`gaussian-noise` cannot be part of an ONNX graph");
    assert_eq!(std::fs::read(&path).expect("still there"), bytes, "nothing is overwritten");
    let wrong = export_defended(&folder.path().join("x.safetensors"), &network, &config, &stack, None);
    assert!(wrong.expect_err("no graph").to_string().contains("ends in .onnx"));
}
