use std::collections::BTreeSet;

use super::recognise::{Fit, Layouts, Shapes};
use super::*;
use crate::device::device;
use crate::nets::Architecture;

/// A network's tensors, without values.
fn tensors(architecture: Architecture, classes: usize, input: Input, rename: fn(&str) -> String) -> Shapes {
    let network =
        architecture.build(classes, input, 0, &device("flex").expect("the CPU")).expect("it can be built");
    network.tensors().iter().map(|t| (rename(&t.name), t.shape.clone())).collect()
}

fn fits(tensors: &Shapes) -> Vec<Fit> {
    let device = device("flex").expect("the CPU");
    Layouts::new(&device).fits(tensors, &[], &ImportOptions::default())
}

fn architectures() -> impl Iterator<Item = Architecture> {
    let more =
        ["cnn4", "cnn16", "wrn-22-3", "wrn-10-1"].into_iter().map(|name| name.parse().expect("a name"));
    Architecture::all().chain(more)
}

#[test]
fn every_architecture_is_recognised_from_its_own_tensors_alone() {
    let mut seen = BTreeSet::new();
    for architecture in architectures() {
        for (classes, channels, side) in [(10, 3, 32), (7, 1, 32)] {
            let tensors = tensors(architecture, classes, Input { channels, side }, str::to_owned);
            let fits = fits(&tensors);
            let exact: Vec<_> = fits.iter().filter(|fit| fit.is_exact()).map(recognise::Fit::name).collect();
            assert_eq!(exact.len(), 1, "{architecture}: {exact:?}");
            assert_eq!(
                (fits[0].architecture, fits[0].classes, fits[0].input.channels),
                (architecture, classes, channels)
            );
            // Where the tensors show the side, it is the right one.
            assert!(fits[0].side == Side::Assumed || fits[0].input.side == side, "{architecture}");
            seen.insert(architecture.to_string());
        }
    }
    assert_eq!(seen.len(), architectures().count());
}

#[test]
fn torchvision_names_of_the_same_structure_are_recognised() {
    let other = |name: &str| {
        name.replace("shortcut", "downsample").replace("linear.", "classifier.").replace("fc.", "head.")
    };
    for name in ["resnet18", "resnet50", "preresnet20"] {
        let architecture: Architecture = name.parse().expect("a name");
        let tensors = tensors(architecture, 100, Input { channels: 3, side: 32 }, other);
        let fits = fits(&tensors);
        assert!(
            fits[0].is_exact() && fits[0].architecture == architecture,
            "{name}: {}",
            fits[0].differences()
        );
    }
}

#[test]
fn the_side_is_read_where_the_tensors_show_it() {
    let mlp: Architecture = "mlp".parse().expect("a name");
    for (channels, side) in [(3, 32), (1, 28), (3, 64), (1, 37), (3, 113)] {
        let tensors = tensors(mlp, 10, Input { channels, side }, str::to_owned);
        let best = &fits(&tensors)[0];
        assert!(best.is_exact());
        assert_eq!((best.input, best.side), (Input { channels, side }, Side::Read));
    }
    let cnn: Architecture = "cnn".parse().expect("a name");
    let tensors = tensors(cnn, 10, Input { channels: 3, side: 39 }, str::to_owned);
    let best = &fits(&tensors)[0];
    assert_eq!(
        (best.is_exact(), best.input.side, best.side),
        (true, 32, Side::Assumed),
        "39 / 8 rounds to 4"
    );
}

#[test]
fn other_spellings_are_recognised() {
    use crate::nets::layers::Spelling;
    let flex = device("flex").expect("the CPU");
    let mut seen = BTreeSet::new();
    for architecture in Architecture::all() {
        for spelling in architecture.other_spellings() {
            let input = Input { channels: 3, side: 32 };
            let network = architecture.build(7, input, 0, &flex).expect("it can be built");
            let names = Network::names(architecture, 7, input, *spelling, &flex);
            let shape =
                |(name, t): (&String, &crate::nets::layers::TensorEntry)| (name.clone(), t.shape.clone());
            let tensors = names.iter().zip(network.tensors()).map(shape).collect();
            let fits = fits(&tensors);
            let exact: Vec<_> = fits.iter().filter(|fit| fit.is_exact()).collect();
            assert_eq!(exact.len(), 1, "{architecture} in {spelling:?}");
            assert_eq!((exact[0].architecture, exact[0].classes), (architecture, 7));
            // Every tensor goes to its place.
            for (entry, name) in network.tensors().iter().zip(&names) {
                assert_eq!(&exact[0].matched[&entry.name], name);
            }
            seen.insert(format!("{spelling:?}"));
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["Cifar100", "Dotted", "Timm"]);
    assert_eq!(Spelling::Own, Architecture::Mlp.own_spelling());
}

#[test]
fn the_usual_side_is_assumed() {
    for (name, channels, side) in [("tv-resnet18", 3, 224), ("tv-vgg16_bn", 1, 224), ("kd-vgg8", 1, 28)] {
        let architecture = name.parse().expect("a name");
        let tensors = tensors(architecture, 5, Input { channels, side: 64 }, str::to_owned);
        let best = &fits(&tensors)[0];
        assert!(best.is_exact(), "{name}");
        assert_eq!((best.input, best.side), (Input { channels, side }, Side::Assumed), "{name}");
    }
}

#[test]
fn tensors_of_no_network_are_read() {
    let header = br#"{"a.b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"n":{"dtype":"I64","shape":[],"data_offsets":[8,16]}}"#;
    let values = [1f32.to_le_bytes(), (-2f32).to_le_bytes(), [3, 0, 0, 0], [0; 4]];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.safetensors");
    let file = [&(header.len() as u64).to_le_bytes()[..], header, values.as_flattened()].concat();
    std::fs::write(&path, file).expect("writable");
    let read = super::tensors(&path).expect("tensors");
    assert_eq!(
        (read.len(), read[0].name.as_str(), &read[0].shape[..], &read[0].data[..]),
        (1, "a.b", &[2][..], &[1.0, -2.0][..])
    );
    std::fs::write(&path, b"no weights").expect("writable");
    assert!(super::tensors(&path).is_err());
}
