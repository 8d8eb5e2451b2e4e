//! Plans against the f64 reference and against the operations of training, and the promise that an answer does not depend on
//! the batch or on the threads.

use burn::tensor::Tensor;
use proptest::prelude::*;

use super::{Builder, ConvParts, Plan, ValueId};
use crate::conv::tests::{ConvCase, conv_case};
use crate::reference::{self, Noise};
use crate::simd::Path;
use crate::tests::tensor;
use crate::{Activation, ConvOptions, Curve, MaxWindow, Precision};

fn f32s(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool")
}

/// Checks the largest difference, relative to the root mean square of the expected values or to `usual`.
#[track_caller]
fn assert_close(what: &str, found: &[f32], expected: &[f64], usual: f64, tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let rms = (expected.iter().map(|v| v * v).sum::<f64>() / expected.len() as f64).sqrt().max(usual);
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*f) - e).abs() / rms;
        assert!(error <= tolerance, "{what}[{i}]: found {f}, expected {e}, {error:.2e} of the rms {rms:.2e}");
    }
}

/// The answers are the same bits whichever images are asked together, by however many threads.
#[track_caller]
fn assert_independent(plan: &Plan, images: &[f32], expected: &[f32]) {
    let (input, output) = (plan.input_len(), plan.output_len());
    let n = images.len() / input;
    for threads in [1, 2, 3] {
        pool(threads).install(|| {
            for count in [1, 2, 3, n] {
                let count = count.min(n);
                let answers = plan.run(&images[(n - count) * input..]);
                let same = answers.iter().zip(&expected[(n - count) * output..]);
                assert!(
                    same.into_iter().all(|(a, b)| a.to_bits() == b.to_bits()),
                    "{count} of {n} images, {threads} threads"
                );
            }
        });
    }
}

fn check(case: &ConvCase, residual: bool, activation: Activation) {
    // Plans have square kernels.
    let [cout, per_group, side, _] = case.weight;
    let [n, h, w, cin] = case.x;
    let padding = case.options.padding.max(side.saturating_sub(h.min(w)).div_ceil(2));
    let options = ConvOptions { padding, ..case.options };
    let mut noise = Noise(case.seed);
    let (x, weight) = (noise.array([n, h, w, cin]), noise.array([cout, per_group, side, side]));
    let bias = noise.vector(cout);
    let [low, high] = activation.bounds().map_or([f64::MIN, f64::MAX], |b| b.map(f64::from));
    let mut expected = reference::conv2d(&x, &weight, Some(&bias), options);
    // With a residual the convolution is added to itself.
    let times = if residual { 2.0 } else { 1.0 };
    expected.data.iter_mut().for_each(|y| *y = (times * *y).clamp(low, high));

    for path in Path::supported() {
        let mut b = Builder::on(path, [h, w, cin]);
        let parts = ConvParts { weight: &f32s(&weight.data), bias: &f32s(&bias), side, options };
        let y =
            b.convolution(ValueId::INPUT, parts, None, if residual { Activation::None } else { activation });
        let y = if residual { b.convolution(ValueId::INPUT, parts, Some(y), activation) } else { y };
        let plan = b.finish(y);
        let images = f32s(&x.data);
        let found = pool(1).install(|| plan.run(&images));
        let usual = 0.5 * ((per_group * side * side) as f64).sqrt();
        assert_close(path.name(), &found, &expected.data, usual, 4e-5);
        assert_independent(&plan, &images, &found);
    }
}

/// Weights of a convolution and what it is built from.
struct Layer {
    weight: Vec<f32>,
    bias: Vec<f32>,
    side: usize,
    options: ConvOptions,
}

impl Layer {
    fn new(noise: &mut Noise, [cin, cout]: [usize; 2], side: usize, stride: usize, groups: usize) -> Self {
        let scale = 1.0 / ((cin / groups * side * side) as f64).sqrt();
        let weight = noise.array([cout, cin / groups, side, side]);
        let bias = f32s(&noise.vector(cout));
        let options = ConvOptions { stride, padding: side / 2, groups, precision: Precision::F32 };
        let weight = weight.data.iter().map(|v| (v * scale) as f32).collect();
        Self { weight, bias, side, options }
    }

    fn parts(&self, precision: Precision) -> ConvParts<'_> {
        let options = ConvOptions { precision, ..self.options };
        ConvParts { weight: &self.weight, bias: &self.bias, side: self.side, options }
    }
}

/// A small network with every kind of operation: pre-activation blocks, depthwise ones, shuffles, pools.
fn network(precision: Precision, seed: u64) -> Plan {
    let mut noise = Noise(seed);
    let mut layer =
        |cin, cout, side, stride, groups| Layer::new(&mut noise, [cin, cout], side, stride, groups);
    let layers = [
        layer(3, 32, 3, 1, 1),
        layer(32, 32, 3, 1, 1),
        layer(32, 64, 1, 2, 1),
        layer(32, 64, 3, 2, 1),
        layer(64, 64, 3, 1, 64),
        layer(64, 64, 1, 1, 1),
        layer(64, 64, 3, 1, 2),
        layer(128, 40, 1, 1, 1),
    ];
    let vector = |noise: &mut Noise, c: usize| f32s(&noise.vector(c));
    let mut b = Builder::new([16, 16, 3]);
    let relu = Activation::Relu;
    let x = b.convolution(ValueId::INPUT, layers[0].parts(precision), None, Activation::None);
    let affine = |b: &mut Builder, noise: &mut Noise, x: ValueId| {
        let c = b.shape(x)[2];
        let (scale, shift) = (vector(noise, c), vector(noise, c));
        b.affine(x, scale, shift, Activation::Relu)
    };
    // The stem stores both its result and the normalised one; the next is read normalised.
    let y = affine(&mut b, &mut noise, x);
    let y = b.convolution(y, layers[1].parts(precision), Some(x), relu);
    let shortcut = b.convolution(y, layers[2].parts(precision), None, Activation::None);
    let y = b.convolution(y, layers[3].parts(precision), Some(shortcut), relu);
    let y = b.convolution(y, layers[4].parts(precision), None, Activation::Relu6);
    let z = b.convolution(y, layers[5].parts(precision), None, relu);
    let [first, second] = b.interleave_halves(y, z);
    let second = b.convolution(second, layers[6].parts(precision), None, relu);
    let y = b.interleave(first, second);
    let y = affine(&mut b, &mut noise, y);
    let y = b.convolution(y, layers[7].parts(precision), None, Activation::None);
    let y = b.shuffle_channels(y, 4);
    let low = b.channels(y, 8, 24);
    let y = b.concat(y, low);
    let y = b.pad_channels(y, 8);
    let y = b.max_pool(y, 2, relu);
    let y = b.average_pool(y, 2, 1);
    let mean = b.global_pool(y);
    let flat = b.flatten(y);
    let (inputs, means) = (b.shape(flat)[2], b.shape(mean)[2]);
    let weight = f32s(&noise.vector(10 * inputs));
    let y = b.linear(flat, &weight, &vector(&mut noise, 10), Activation::None);
    let weight = f32s(&noise.vector(10 * means));
    let z = b.linear(mean, &weight, &vector(&mut noise, 10), Activation::None);
    let y = b.add(y, z, Activation::None);
    let y = b.activate(y, relu);
    b.finish(y)
}

#[test]
fn an_answer_depends_neither_on_the_batch_nor_on_the_threads() {
    for precision in [Precision::F32, Precision::Bf16] {
        let plan = network(precision, 3);
        let images = f32s(&Noise(4).vector(37 * plan.input_len()));
        let all = pool(2).install(|| plan.run(&images));
        assert!(all.iter().any(|v| *v > 0.0) && all.iter().all(|v| v.is_finite()));
        assert_independent(&plan, &images, &all);
        // Several threads ask at once.
        let answers: Vec<Vec<f32>> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| plan.run(&images))).collect();
            asked.into_iter().map(|asked| asked.join().expect("an answer")).collect()
        });
        assert!(answers.iter().all(|answer| *answer == all));
    }
}

#[test]
fn no_images_have_no_answers() {
    assert_eq!(network(Precision::F32, 1).run(&[]), Vec::<f32>::new());
}

#[test]
fn pools_and_moves_are_those_of_training() {
    let (n, h, w, c) = (3, 7, 6, 10);
    let mut noise = Noise(9);
    let x = noise.array([n, h, w, c]);
    let images: Vec<f32> = f32s(&x.data);
    let tx = tensor(&x).inner();
    let values = |t: Tensor<4>| t.into_data().try_to_vec::<f32>().expect("an f32 tensor");
    let run = |add: &dyn Fn(&mut Builder, ValueId) -> ValueId| {
        let mut b = Builder::new([h, w, c]);
        let y = add(&mut b, ValueId::INPUT);
        b.finish(y).run(&images)
    };
    assert_eq!(
        run(&|b, x| b.max_pool(x, 2, Activation::Relu)),
        values(crate::activate(crate::max_pool2d(tx.clone(), 2), Activation::Relu))
    );
    assert_eq!(run(&|b, x| b.average_pool(x, 3, 2)), values(crate::avg_pool2d(tx.clone(), 3, 2)));
    let means = crate::global_avg_pool(tx.clone()).reshape([n, 1, 1, c]);
    assert_eq!(run(&|b, x| b.global_pool(x)), values(means));
    assert_eq!(run(&|b, x| b.pad_channels(x, 3)), values(crate::pad_channels(tx.clone(), 3, 3)));
    let flat = tx.clone().permute([0, 3, 1, 2]).reshape([n, 1, 1, h * w * c]);
    assert_eq!(run(&|b, x| b.flatten(x)), values(flat));
    let [first, second] = crate::split_channels(tx.clone());
    assert_eq!(run(&|b, x| b.channels(x, 0, 5)), values(first.clone()));
    assert_eq!(run(&|b, x| b.channels(x, 5, 5)), values(second.clone()));
    let halves = |b: &mut Builder, x| (b.channels(x, 0, 5), b.channels(x, 5, 5));
    assert_eq!(
        run(&|b, x| {
            let (first, second) = halves(b, x);
            b.concat(second, first)
        }),
        values(crate::concat_channels(second.clone(), first.clone()))
    );
    let interleaved = values(crate::interleave_channels(first, second));
    assert_eq!(run(&|b, x| b.shuffle_channels(x, 2)), interleaved);
    assert_eq!(
        run(&|b, x| {
            let (first, second) = halves(b, x);
            b.interleave(first, second)
        }),
        interleaved
    );
    for curve in [Curve::Silu, Curve::Sigmoid, Curve::Gelu, Curve::HardSwish, Curve::HardSigmoid] {
        assert_eq!(run(&|b, x| b.curve(x, curve)), values(crate::curve(tx.clone(), curve)), "{curve:?}");
    }
    let [gamma, beta] = [0.5f32, -3.0].map(|v| (0..c).map(|i| v + i as f32).collect::<Vec<_>>());
    let vector = |v: &[f32]| Tensor::<1>::from_floats(v, &tx.device());
    assert_eq!(
        run(&|b, x| b.layer_norm(x, gamma.clone(), beta.clone(), 1e-6)),
        values(crate::layer_norm(tx.clone(), vector(&gamma), vector(&beta), 1e-6))
    );
    let factors = crate::global_avg_pool(tx.clone()).reshape([n, 1, 1, c]);
    assert_eq!(
        run(&|b, x| {
            let factors = b.global_pool(x);
            b.gate(x, factors)
        }),
        values(crate::gate(tx.clone(), factors))
    );
    for (size, stride, padding) in [(3, 2, 1), (3, 1, 0), (2, 3, 1)] {
        let window = MaxWindow { size, stride, padding };
        assert_eq!(
            run(&|b, x| b.max_windows(x, window, Activation::None)),
            values(crate::max_pool2d_windows(tx.clone(), window)),
            "{window:?}"
        );
    }
    // Rows 0–3 and 3–7 of seven, rounded outward; columns 0–3 and 3–6.
    let halves_of = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
        tx.clone().slice([0..n, rows, columns, 0..c]).mean_dim(1).mean_dim(2)
    };
    let parts = [(0..4, 0..3), (0..4, 3..6), (3..7, 0..3), (3..7, 3..6)].map(|(r, c)| halves_of(r, c));
    let expected = values(Tensor::cat(parts.into(), 1).reshape([n, 2, 2, c]));
    for (found, expected) in run(&|b, x| b.adaptive_pool(x, 2)).iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
    let [first, second] = crate::interleave_halves(tx.clone(), tx.clone() * 2.0);
    let doubled = |b: &mut Builder, x| b.affine(x, vec![2.0; c], vec![0.0; c], Activation::None);
    for (half, expected) in [first, second].into_iter().enumerate() {
        let found = run(&|b, x| {
            let double = doubled(b, x);
            b.interleave_halves(x, double)[half]
        });
        assert_eq!(found, values(expected));
    }
    assert_eq!(
        run(&|b, x| {
            let double = doubled(b, x);
            b.add(x, double, Activation::Relu6)
        }),
        values(crate::activate(tx.clone() * 3.0, Activation::Relu6))
    );
}

/// A scale and shift before or after a convolution gives the same as by itself, whoever computes it.
#[test]
fn a_scale_and_shift_is_the_same_wherever_it_is_computed() {
    let mut noise = Noise(12);
    for (cin, cout, side, groups) in [(24, 40, 1, 1), (32, 48, 3, 1), (5, 7, 3, 1), (16, 16, 3, 4)] {
        let layer = Layer::new(&mut noise, [cin, cout], side, 1, groups);
        let images = f32s(&noise.vector(5 * 36 * cin));
        let channels: Vec<[Vec<f32>; 2]> =
            [cin, cout].map(|c| [f32s(&noise.vector(c)), f32s(&noise.vector(c))]).into();
        let affine = |b: &mut Builder, x, i: usize| {
            let [scale, shift] = channels[i].clone();
            b.affine(x, scale, shift, Activation::Relu)
        };
        let parts = layer.parts(Precision::F32);
        let fused = {
            let mut b = Builder::new([6, 6, cin]);
            let x = affine(&mut b, ValueId::INPUT, 0);
            let y = b.convolution(x, parts, None, Activation::None);
            let z = affine(&mut b, y, 1);
            let all = b.concat(y, z);
            b.finish(all).run(&images)
        };
        let alone = |c, i: usize, images: &[f32]| {
            let mut b = Builder::new([6, 6, c]);
            let y = affine(&mut b, ValueId::INPUT, i);
            b.finish(y).run(images)
        };
        let normed = alone(cin, 0, &images);
        let mut b = Builder::new([6, 6, cin]);
        let y = b.convolution(ValueId::INPUT, parts, None, Activation::None);
        let y = b.finish(y).run(&normed);
        let z = alone(cout, 1, &y);
        for (pixel, found) in fused.chunks_exact(2 * cout).enumerate() {
            assert_eq!(found[..cout], y[pixel * cout..][..cout], "the convolution of {cin} channels");
            for (found, expected) in found[cout..].iter().zip(&z[pixel * cout..]) {
                assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{found} for {expected}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_convolution_is_the_reference(
        case in conv_case(),
        residual in any::<bool>(),
        activation in prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::Relu6)],
    ) {
        check(&case, residual, activation);
    }
}
