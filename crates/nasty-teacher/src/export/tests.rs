use std::collections::BTreeSet;

use super::*;
use crate::device::device;
use crate::nets::{Architecture, Input};
use crate::protobuf::{Wire, field};

fn network(name: &str, input: Input) -> (Network, NetworkConfig) {
    let architecture: Architecture = name.parse().expect("a name");
    let network =
        architecture.build(7, input, 3, &device("flex").expect("the CPU")).expect("it can be built");
    let channels = input.channels;
    let labels = (0..7).map(|c| format!("class {c}")).collect();
    let config = NetworkConfig::new(&network, vec![0.25; channels], vec![0.5; channels], labels);
    (network, config)
}

/// The fields of a message; panics on malformed ones.
fn fields(mut data: &[u8]) -> Vec<(u64, Wire<'_>)> {
    let mut fields = Vec::new();
    while !data.is_empty() {
        fields.push(field(&mut data).expect("well-formed protobuf"));
    }
    fields
}

/// The messages or strings of one field.
fn all<'a>(fields: &[(u64, Wire<'a>)], number: u64) -> Vec<&'a [u8]> {
    let bytes = |(n, wire): &(u64, Wire<'a>)| match wire {
        Wire::Bytes(bytes) if *n == number => Some(*bytes),
        _ => None,
    };
    fields.iter().filter_map(bytes).collect()
}

fn texts(fields: &[(u64, Wire<'_>)], number: u64) -> Vec<String> {
    all(fields, number).iter().map(|b| String::from_utf8(b.to_vec()).expect("UTF-8")).collect()
}

#[test]
fn onnx_graphs_are_closed_and_hold_every_tensor_once() {
    for architecture in Architecture::all() {
        // The large ones are of the same layers.
        let (network, config) = network(&architecture.to_string(), Input { channels: 3, side: 32 });
        if network.parameters() > 3_000_000 {
            continue;
        }
        let bytes = to_onnx(&network, &config);
        let model = fields(&bytes);
        let graphs = all(&model, 7);
        assert_eq!(graphs.len(), 1);
        let graph = fields(graphs[0]);
        let mut known: BTreeSet<String> = all(&graph, 5).iter().flat_map(|t| texts(&fields(t), 8)).collect();
        let tensors = network.state_dict();
        assert!(tensors.iter().all(|t| known.contains(&t.name)), "{architecture}");
        known.insert("input".into());
        for node in all(&graph, 1) {
            let node = fields(node);
            let unknown: Vec<_> = texts(&node, 1).into_iter().filter(|name| !known.contains(name)).collect();
            assert!(unknown.is_empty(), "{architecture}: {unknown:?} before they are computed");
            for output in texts(&node, 2) {
                assert!(known.insert(output.clone()), "{architecture}: {output} twice");
            }
        }
        assert!(known.contains("logits"));
        let weight = &tensors[0];
        let stored = all(&graph, 5)
            .into_iter()
            .map(fields)
            .find(|t| texts(t, 8) == [weight.name.clone()])
            .expect("there");
        let expected: Vec<u8> = weight.data.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(all(&stored, 9), [expected.as_slice()]);
    }
}

#[test]
fn safetensors_exports_are_read_back_bit_for_bit() {
    let folder = tempfile::tempdir().expect("temp");
    let (network, config) = network("cnn4", Input { channels: 1, side: 28 });
    let path = folder.path().join("model.safetensors");
    let written = export(&path, &network, &config).expect("writable");
    assert_eq!(written, [path.clone(), folder.path().join("config.json")]);
    let (again, read) =
        crate::nets::load(folder.path(), &device("flex").expect("the CPU")).expect("a network's folder");
    assert_eq!((again.state_dict(), read), (network.state_dict(), config.clone()));
    let imported = crate::nets::import(&path, &Default::default(), &device("flex").expect("the CPU"))
        .expect("importable");
    assert_eq!(imported.network.state_dict(), network.state_dict());

    // The same again is no conflict; another description is.
    export(&path, &network, &config).expect("the same");
    let other = NetworkConfig { mean: vec![0.75], ..config.clone() };
    assert!(matches!(export(&path, &network, &other), Err(ExportError::Occupied { .. })));
    for name in ["model.pt", "model", "model.onnx.zip"] {
        let path = folder.path().join(name);
        assert!(matches!(export(&path, &network, &config), Err(ExportError::Format { .. })));
        assert!(!path.exists());
    }
    let nowhere = folder.path().join("no/such/model.onnx");
    assert!(export(&nowhere, &network, &config).expect_err("no folder").to_string().contains("model.onnx"));
}
