//! Names, sizes and limits of all architectures.

use std::collections::HashSet;

use burn::tensor::Device;
use proptest::prelude::*;

use super::{Architecture, Input, NetError, Network};

const CIFAR: Input = Input { channels: 3, side: 32 };

fn build(name: &str, classes: usize, input: Input) -> Network {
    name.parse::<Architecture>().unwrap().build(classes, input, 0, &Device::flex()).unwrap()
}

#[test]
fn parameter_counts_are_the_published_ones() {
    // For 10, 100 and 200 classes, where published.
    let counts: &[(&str, &[usize])] = &[
        ("resnet18", &[11_173_962, 11_220_132, 11_271_432]),
        ("resnet34", &[21_282_122, 21_328_292, 21_379_592]),
        ("resnet50", &[23_520_842, 23_705_252, 23_910_152]),
        ("preresnet20", &[272_282, 278_132]),
        ("preresnet32", &[466_714, 472_564]),
        ("preresnet44", &[683_162, 706_292]),
        ("resnext29", &[34_426_698, 34_518_948, 34_621_448]),
        ("mobilenetv2", &[2_254_090, 2_369_380, 2_497_480]),
        ("shufflenetv2", &[1_268_646, 1_360_896, 1_463_396]),
        ("cnn", &[357_514, 369_124]),
        ("mlp", &[1_841_162]),
        ("densenet121", &[6_956_298, 7_048_548]),
        // Counted on PyTorch definitions of our own, for want of published counts.
        ("densenet161", &[26_482_378, 26_681_188, 26_902_088]),
        ("densenet169", &[12_493_322, 12_643_172, 12_809_672]),
        ("resnet101", &[42_512_970, 42_697_380, 42_902_280]),
        // The sizes of the public checkpoints.
        ("resnet20", &[269_722]),
        ("resnet32", &[464_154]),
        ("resnet44", &[658_586]),
        ("resnet56", &[853_018]),
        ("resnet110", &[1_727_962]),
        // Zagoruyko & Komodakis, table 4: 36.5 M and 2.2 M.
        ("wrn-28-10", &[36_479_194, 36_536_884]),
        ("wrn-40-2", &[2_243_546]),
    ];
    for (name, published) in counts {
        for (classes, count) in [10, 100, 200].into_iter().zip(*published) {
            assert_eq!(build(name, classes, CIFAR).parameters(), *count, "{name} of {classes} classes");
        }
    }
}

#[test]
fn multiply_accumulates_are_the_papers() {
    // 40.6 M for ResNet-20 and 556 M for ResNet-18 are the field's figures; WRN-28-10 has 5.2 G
    // (Zagoruyko & Komodakis count multiplications).
    for (name, millions) in [("resnet20", 40.55), ("resnet18", 555.4), ("wrn-28-10", 5_243.3)] {
        let macs = build(name, 10, CIFAR).macs() as f64 / 1e6;
        assert!((macs / millions - 1.0).abs() < 2e-3, "{name}: {macs}");
    }
}

#[test]
fn every_name_stands_for_one_architecture() {
    let mut seen = HashSet::new();
    for architecture in Architecture::all() {
        let canonical = architecture.to_string();
        for name in std::iter::once(canonical.as_str()).chain(architecture.aliases().iter().copied()) {
            assert!(seen.insert(name.to_owned()), "{name} is given twice");
            assert_eq!(name.parse::<Architecture>().unwrap(), architecture);
            assert_eq!(name.to_uppercase().parse::<Architecture>().unwrap(), architecture);
        }
        assert_eq!(serde_json::to_string(&architecture).unwrap(), format!("\"{canonical}\""));
    }
}

#[test]
fn families_are_recognised_in_their_spellings() {
    for name in ["wrn-28-10", "wrn_28_10", "WRN28-10", "wide_resnet28_10", "wideresnet-28-10"] {
        assert_eq!(name.parse::<Architecture>().unwrap().to_string(), "wrn-28-10", "{name}");
    }
    assert_eq!("wrn-22-3".parse::<Architecture>().unwrap(), Architecture::WideResNet { depth: 22, width: 3 });
    assert_eq!("cnn16".parse::<Architecture>().unwrap(), Architecture::Cnn { width: 16 });
}

#[test]
fn names_of_other_networks_are_refused() {
    // Networks of timm and torchvision that are not here, and names that several networks have.
    for name in [
        "wide_resnet101_2",
        "resnet152",
        "resnet101.a1_in1k",
        "tf_efficientnet_b0",
        "efficientnet_b1",
        "cifar10_resnet20",
        "vgg16",
        "tv-vgg16",
        "tv-resnet20",
        "wrn-28",
        "wrn-28-10-3",
        "wrn-28-0",
        "cnn0",
        "",
    ] {
        assert!(name.parse::<Architecture>().is_err(), "{name}");
    }
    let error = "wide_resnet101_2".parse::<Architecture>().unwrap_err();
    assert_eq!(error.to_string(), "wrn-101-2 takes a depth of 10, 16, 22, … to 100 (6n + 4), found 101");
    assert!("wrn-99999999999999999999-1".parse::<Architecture>().is_err());
}

#[test]
fn torchvisions_parameter_counts_are_the_published_ones() {
    // `num_params` of torchvision's weights, and the sizes of timm's models; 1,000 classes.
    for (name, published) in [
        ("tv-resnet18", 11_689_512),
        ("tv-resnet34", 21_797_672),
        ("tv-resnet50", 25_557_032),
        ("tv-resnet101", 44_549_160),
        ("tv-wide_resnet50_2", 68_883_240),
        ("tv-resnext50_32x4d", 25_028_904),
        ("tv-mobilenet_v2", 3_504_872),
        ("tv-mobilenet_v3_small", 2_542_856),
        ("tv-mobilenet_v3_large", 5_483_032),
        ("timm-mobilenetv3_small_100", 2_542_856),
        ("timm-mobilenetv3_large_100", 5_483_032),
        ("tv-shufflenet_v2_x1_0", 2_278_604),
        ("tv-densenet121", 7_978_856),
        ("tv-efficientnet_b0", 5_288_548),
        ("tv-vgg16_bn", 138_365_992),
        ("tv-convnext_tiny", 28_589_128),
    ] {
        let network = build(name, 1000, Input { channels: 3, side: 224 });
        assert_eq!(network.parameters(), published, "{name}");
        let summed: usize = network.summary().iter().map(|layer| layer.parameters).sum();
        assert_eq!(summed, published, "{name}, layer by layer");
    }
    // Of the distillation benchmarks, counted on their PyTorch definitions at 100 classes.
    for (name, counted) in [
        ("kd-resnet8", 83_892),
        ("kd-resnet20", 278_324),
        ("kd-resnet56", 861_620),
        ("kd-resnet110", 1_736_564),
        ("kd-resnet8x4", 1_233_540),
        ("kd-resnet32x4", 7_433_860),
        ("kd-vgg8", 3_965_028),
        ("kd-vgg13", 9_462_180),
        ("kd-vgg16", 14_774_436),
        ("wrn-16-2", 703_284),
        ("wrn-40-2", 2_255_156),
    ] {
        assert_eq!(build(name, 100, CIFAR).parameters(), counted, "{name}");
    }
}

#[test]
fn torchvisions_multiply_accumulates_are_the_published_ones() {
    // `_ops` of torchvision's weights, which leave biases and squeeze-and-excitation's pools out too.
    for (name, giga) in [
        ("tv-resnet18", 1.814),
        ("tv-resnet50", 4.089),
        ("tv-wide_resnet50_2", 11.398),
        ("tv-resnext50_32x4d", 4.23),
        ("tv-mobilenet_v2", 0.301),
        ("tv-mobilenet_v3_large", 0.217),
        ("tv-shufflenet_v2_x1_0", 0.145),
        ("tv-densenet121", 2.834),
        ("tv-efficientnet_b0", 0.386),
        ("tv-vgg16_bn", 15.47),
        ("tv-convnext_tiny", 4.456),
    ] {
        let macs = build(name, 1000, Input { channels: 3, side: 224 }).macs() as f64 / 1e9;
        assert!((macs / giga - 1.0).abs() < 0.01, "{name}: {macs}");
    }
}

fn any_architecture() -> impl Strategy<Value = Architecture> {
    let listed = prop::sample::select(Architecture::all().collect::<Vec<_>>());
    let wide = (0usize..120, 0usize..24).prop_map(|(depth, width)| Architecture::WideResNet { depth, width });
    let cnn = (0usize..300).prop_map(|width| Architecture::Cnn { width });
    prop_oneof![6 => listed, 1 => wide, 1 => cnn]
}

proptest! {
    #[test]
    fn allowed_inputs_build_and_run_and_others_are_refused(
        architecture in any_architecture(),
        side in prop_oneof![0usize..70, 500usize..530],
        channels in 0usize..5,
        classes in prop_oneof![0usize..5, 1usize..1000, Just(100_001)],
    ) {
        let input = Input { channels, side };
        match architecture.build(classes, input, 0, &Device::flex()) {
            Ok(network) => {
                prop_assert!(matches!(channels, 1 | 3) && architecture.sides().contains(&side) && classes >= 1);
                let graph = network.graph();
                prop_assert_eq!(graph.shape(graph.logits()), [1, 1, classes]);
                for node in graph.nodes() {
                    prop_assert!(node.shape.iter().all(|d| *d > 0), "{:?}", node);
                    prop_assert!(node.inputs.iter().all(|i| *i <= graph.nodes().len()));
                }
                prop_assert!(network.macs() > 0);
                let summed: usize = network.summary().iter().map(|layer| layer.parameters).sum();
                prop_assert_eq!(summed, network.parameters());
            }
            Err(NetError::Unbuildable { allowed, found, .. }) => {
                prop_assert!(!allowed.is_empty() && !found.is_empty());
                let sides = architecture.sides();
                if matches!(channels, 1 | 3) && !sides.contains(&side) && allowed.contains("side") {
                    prop_assert!(allowed.contains(&sides.start().to_string()), "{}", allowed);
                }
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

#[test]
fn the_smallest_allowed_images_give_logits_of_the_written_shapes() {
    // What the graph writes down is what real activations do, for one member of each family, at its least side and an
    // odd one.
    use super::Mode;
    for name in [
        "cnn4",
        "mlp",
        "preresnet20",
        "resnet20",
        "wrn-10-1",
        "mobilenetv2",
        "shufflenetv2",
        "densenet121",
        "tv-resnet18",
        "tv-mobilenet_v2",
        "tv-mobilenet_v3_small",
        "timm-mobilenetv3_small_100",
        "tv-shufflenet_v2_x1_0",
        "tv-densenet121",
        "tv-efficientnet_b0",
        "tv-convnext_tiny",
        "kd-resnet8x4",
        "kd-vgg8",
    ] {
        let architecture: Architecture = name.parse().unwrap();
        let least = *architecture.sides().start();
        for side in [least, least.max(11), least + 7] {
            let input = Input { channels: 1, side };
            let network = build(name, 3, input);
            let images = burn::tensor::Tensor::zeros([2, side, side, 1], &Device::flex());
            let output = network.outputs(images, Mode::Eval);
            assert_eq!(output.logits.dims(), [2, 3], "{name} at {side}");
        }
    }
}

#[test]
fn bf16_changes_the_logits_a_little_in_both_modes() {
    use super::{Mode, Precision};
    let input = Input { channels: 3, side: 32 };
    let values: Vec<f32> = (0..8 * 32 * 32 * 3).map(|i| (i * 7919 % 251) as f32 / 125.0 - 1.0).collect();
    let images = burn::tensor::Tensor::<1>::from_floats(values.as_slice(), &Device::flex());
    for name in [
        "cnn4",
        "preresnet20",
        "resnet18",
        "wrn-10-1",
        "mobilenetv2",
        "shufflenetv2",
        "densenet121",
        "kd-resnet8",
        "tv-mobilenet_v3_small",
        "tv-convnext_tiny",
    ] {
        for mode in [Mode::Train, Mode::Eval] {
            let logits = |precision| {
                let network = build(name, 10, input).with_precision(precision);
                let logits = network.forward(images.clone().reshape([8, 32, 32, 3]), mode);
                logits.into_data().try_to_vec::<f32>().unwrap()
            };
            let (exact, rounded) = (logits(Precision::F32), logits(Precision::Bf16));
            let size = exact.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let error = exact.iter().zip(&rounded).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / size;
            assert!(error > 1e-6 && error < 0.2, "{name} {mode:?}: {error}");
        }
    }
}

/// In a last block the shortcut, or half of the channels, leads to the logits alone.
#[test]
fn a_loss_of_some_layers_alone_has_gradients() {
    let device = Device::flex().autodiff();
    for name in ["preresnet20", "resnet20", "resnet18", "mobilenetv2", "shufflenetv2", "densenet121"] {
        let input = Input { channels: 3, side: 32 };
        let network = name.parse::<Architecture>().unwrap().build(10, input, 0, &device).unwrap();
        let layers = network.summary().iter().filter(|layer| layer.kind == "batch-norm").count();
        for layer in [0, layers / 2, layers - 2, layers - 1] {
            let images = burn::tensor::Tensor::<4>::ones([1, 32, 32, 3], &device).require_grad();
            let (_, statistics) = network.outputs_and_statistics(images.clone() * 0.5);
            assert_eq!(statistics.len(), layers, "{name}");
            let gradients = statistics[layer].mean.clone().powi_scalar(2).sum().backward();
            let gradient = images.grad(&gradients).expect("a gradient of the images");
            let values = gradient.into_data().try_to_vec::<f32>().unwrap();
            assert!(values.iter().all(|v| v.is_finite()), "{name}, layer {layer}");
            assert!(values.iter().any(|v| *v != 0.0), "{name}, layer {layer}");
        }
    }
}

#[test]
fn a_network_takes_other_sides_where_its_weights_do_not_depend_on_them() {
    use super::{Mode, host};
    let input = Input { channels: 3, side: 32 };
    for name in ["resnet18", "preresnet20", "shufflenetv2", "mobilenetv2"] {
        let network = build(name, 7, input);
        let (before, built) = (network.state_dict(), build(name, 7, Input { side: 20, ..input }));
        assert!(network.architecture().serves_all_sides());
        let small = network.at_side(20).expect("a pooled network");
        let of = small.state_dict();
        assert!(of == before && small.input().side == 20);
        let images = burn::tensor::Tensor::<4>::ones([2, 20, 20, 3], &Device::flex());
        let logits = host(small.forward(images.clone(), Mode::Eval));
        let same = built.load_state_dict(&of).expect("the same tensors").forward(images, Mode::Eval);
        assert_eq!(logits, host(same), "{name}");
        // What batch-norms learn at one side stays with the network.
        let images = burn::tensor::Tensor::<4>::ones([2, 20, 20, 3], &Device::flex());
        let _ = host(small.forward(images, Mode::Train));
        let learned = small.state_dict();
        let full = small.at_side(32).expect("its own side");
        assert!(learned != of && full.state_dict() == learned, "{name}");
        assert!(full.at_side(0).is_err());
    }
    for name in ["cnn", "mlp"] {
        assert!(!name.parse::<Architecture>().unwrap().serves_all_sides());
        let refused = build(name, 7, input).at_side(16).expect_err("a layer for every pixel").to_string();
        assert!(
            refused.contains("32 pixels a side only") && refused.contains("found a side of 16"),
            "{refused}"
        );
    }
}

#[test]
fn dropout_depends_on_seed_and_step_and_only_in_forward_dropping() {
    use super::{Dropping, Mode};
    let network = build("tv-mobilenet_v3_small", 10, CIFAR);
    let values: Vec<f32> = (0..4 * 32 * 32 * 3).map(|i| (i * 7919 % 251) as f32 / 125.0 - 1.0).collect();
    let images = burn::tensor::Tensor::<1>::from_floats(values.as_slice(), &Device::flex());
    let images = images.reshape([4, 32, 32, 3]);
    let host = |logits: burn::tensor::Tensor<2>| logits.into_data().try_to_vec::<f32>().unwrap();
    let dropped = |seed, step| host(network.forward_dropping(images.clone(), Dropping::new(seed, step)));
    let whole = host(network.forward(images.clone(), Mode::Train));
    assert_eq!(whole, host(network.forward(images.clone(), Mode::Train)));
    assert_eq!(dropped(1, 2), dropped(1, 2));
    for other in [&whole, &dropped(1, 3), &dropped(2, 2)] {
        assert_ne!(&dropped(1, 2), other);
    }
    // Networks without dropout are not touched.
    let plain = build("kd-resnet8", 10, CIFAR);
    let drop = plain.forward_dropping(images.clone(), Dropping::new(1, 2));
    assert_eq!(host(drop), host(plain.forward(images.clone(), Mode::Train)));

    // Dropped logits have the whole ones' mean: the hidden layer is linear in what is kept.
    let runs = 400;
    let mut mean = vec![0.0f64; whole.len()];
    for step in 0..runs {
        mean.iter_mut().zip(dropped(5, step)).for_each(|(m, v)| *m += f64::from(v) / f64::from(runs as u32));
    }
    let spread = |a: &[f64]| a.iter().map(|v| v * v).sum::<f64>().sqrt();
    let off: Vec<f64> = mean.iter().zip(&whole).map(|(m, w)| m - f64::from(*w)).collect();
    let whole: Vec<f64> = whole.iter().map(|w| f64::from(*w)).collect();
    assert!(spread(&off) < 0.1 * spread(&whole), "{} of {}", spread(&off), spread(&whole));
}

#[test]
fn stochastic_depth_leaves_branches_out_for_some_images() {
    use super::{Dropping, Mode};
    let network = build("tv-efficientnet_b0", 10, CIFAR);
    let values: Vec<f32> = (0..4 * 32 * 32 * 3).map(|i| (i * 7919 % 251) as f32 / 125.0 - 1.0).collect();
    let images = burn::tensor::Tensor::<1>::from_floats(values.as_slice(), &Device::flex());
    let images = images.reshape([4, 32, 32, 3]);
    let host = |logits: burn::tensor::Tensor<2>| logits.into_data().try_to_vec::<f32>().unwrap();
    let run = |stochastic_depth| {
        host(network.forward_dropping(images.clone(), Dropping { seed: 0, step: 0, stochastic_depth }))
    };
    assert_ne!(run(0.0), run(0.9));
    assert_eq!(run(0.9), run(0.9));
    assert_ne!(run(0.0), host(network.forward(images.clone(), Mode::Train)), "dropout is on");
}
