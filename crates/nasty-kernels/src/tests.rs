//! The public operations and all their gradients against the f64 reference over random shapes.

use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;

use crate::channels::Move;
use crate::conv::tests::{ConvCase, conv_case};
use crate::reference::{self, Array, Noise};
use crate::{Activation, Activations, ConvOptions, Precision, SgdStep, channels, portable};

fn device() -> Device {
    Device::flex().autodiff()
}

fn tensor(a: &Array) -> Tensor<4> {
    let data: Vec<f32> = a.data.iter().map(|v| *v as f32).collect();
    Tensor::from_data(TensorData::new(data, a.dims), &device()).require_grad()
}

fn vector(v: &[f64]) -> Tensor<1> {
    let data: Vec<f32> = v.iter().map(|v| *v as f32).collect();
    Tensor::from_data(TensorData::new(data, [v.len()]), &device()).require_grad()
}

/// Largest difference, relative to the reference's root mean square.
#[track_caller]
fn assert_close<const D: usize>(what: &str, found: Tensor<D>, expected: &[f64], tolerance: f64) {
    assert_near(what, found, expected, 1e-3, tolerance);
}

/// [`assert_close`] of sums of `terms` products, which may cancel: relative to their usual size at least.
#[track_caller]
fn assert_sum<const D: usize>(what: &str, found: Tensor<D>, expected: &[f64], terms: usize, tolerance: f64) {
    assert_near(what, found, expected, 0.5 * (terms as f64).sqrt(), tolerance);
}

#[track_caller]
fn assert_near<const D: usize>(what: &str, found: Tensor<D>, expected: &[f64], usual: f64, tolerance: f64) {
    let found = found.into_data().try_to_vec::<f32>().expect("an f32 tensor");
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let rms = (expected.iter().map(|v| v * v).sum::<f64>() / expected.len() as f64).sqrt().max(usual);
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*f) - e).abs() / rms;
        assert!(error <= tolerance, "{what}[{i}]: found {f}, expected {e}, {error:.2e} of the rms {rms:.2e}");
    }
}

fn check_conv(case: &ConvCase) {
    let mut noise = Noise(case.seed);
    let (x, weight) = (noise.array(case.x), noise.array(case.weight));
    let bias = case.bias.then(|| noise.vector(case.weight[0]));
    let y = reference::conv2d(&x, &weight, bias.as_deref(), case.options);
    let dy = noise.array(y.dims);
    let (dx, dw, db) = reference::conv2d_backward(&x, &weight, &dy, case.options);

    let (tx, tw, tb) = (tensor(&x), tensor(&weight), bias.as_deref().map(vector));
    let ty = crate::conv2d(tx.clone(), tw.clone(), tb.clone(), case.options);
    assert_eq!(ty.dims(), y.dims);
    let (channels, positions) = (case.x[3] / case.options.groups, y.dims[..3].iter().product());
    let taps = case.weight[2] * case.weight[3];
    assert_sum("y", ty.clone(), &y.data, channels * taps, 2e-5);
    let grads = (ty * tensor(&dy).detach()).sum().backward();
    assert_sum("dx", tx.grad(&grads).expect("dx"), &dx.data, case.weight[0] / case.options.groups, 2e-5);
    assert_sum("dw", tw.grad(&grads).expect("dw"), &dw.data, positions, 2e-5);
    if let Some(tb) = tb {
        assert_sum("db", tb.grad(&grads).expect("db"), &db, positions, 2e-5);
    }
}

#[derive(Clone, Debug)]
struct NormCase {
    x: [usize; 4],
    residual: bool,
    activation: Activation,
    offset: f64,
    seed: u64,
}

fn norm_case() -> impl Strategy<Value = NormCase> {
    let activation = prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::Relu6)];
    (
        (1usize..=9, 1usize..=33, 1usize..=33, 1usize..=130),
        any::<bool>(),
        activation,
        -3.0..3.0f64,
        any::<u64>(),
    )
        // Of one value a channel nothing remains but rounding.
        .prop_filter("at least 4 values a channel", |((n, h, w, _), ..)| n * h * w >= 4)
        .prop_map(|((n, h, w, c), residual, activation, offset, seed)| NormCase {
            x: [n, h, w, c],
            residual,
            activation,
            offset,
            seed,
        })
}

impl NormCase {
    /// x, two vectors, residual, dy.
    fn draw(&self) -> (Array, Vec<f64>, Vec<f64>, Option<Array>, Array) {
        let mut noise = Noise(self.seed);
        let mut x = noise.array(self.x);
        x.data.iter_mut().for_each(|v| *v = f64::from((*v * 2.0 + self.offset) as f32));
        let scale = noise.vector(self.x[3]);
        let shift = noise.vector(self.x[3]);
        let residual = self.residual.then(|| noise.array(self.x));
        let dy = noise.array(self.x);
        (x, scale, shift, residual, dy)
    }

    /// Where rounding decides on which side of a kink a value lies, the gradient is not defined: no dy there.
    fn avoid_kinks(&self, before: &Array, dy: &mut Array) {
        for (d, v) in dy.data.iter_mut().zip(&before.data) {
            if v.abs() < 1e-4 || (v - 6.0).abs() < 1e-4 {
                *d = 0.0;
            }
        }
    }
}

fn check_batch_norm(case: &NormCase) {
    let rows = case.x[..3].iter().product();
    let (x, gamma, beta, residual, mut dy) = case.draw();
    let run =
        |dy: &Array| reference::batch_norm(&x, &gamma, &beta, 1e-5, residual.as_ref(), case.activation, dy);
    case.avoid_kinks(&run(&dy).before, &mut dy);
    let expected = run(&dy);
    let (mean, variance) = reference::statistics(&x);

    let (tx, tg, tb, tr) = (tensor(&x), vector(&gamma), vector(&beta), residual.as_ref().map(tensor));
    let out = crate::batch_norm_train(tx.clone(), tg.clone(), tb.clone(), 1e-5, tr.clone(), case.activation);
    assert_close("y", out.y.clone().into_tensor(), &expected.y.data, 1e-5);
    assert_close("mean", out.mean, &mean, 1e-5);
    assert_close("variance", out.variance, &variance, 1e-5);
    let grads = (out.y.into_tensor() * tensor(&dy).detach()).sum().backward();
    assert_close("dx", tx.grad(&grads).expect("dx"), &expected.dx.data, 1e-5);
    assert_sum("dgamma", tg.grad(&grads).expect("dgamma"), &expected.dscale, rows, 1e-5);
    assert_sum("dbeta", tb.grad(&grads).expect("dbeta"), &expected.dshift, rows, 1e-5);
    if let Some(tr) = tr {
        assert_close("dresidual", tr.grad(&grads).expect("dresidual"), &expected.dresidual.data, 1e-5);
    }
}

fn check_scale_shift(case: &NormCase) {
    let rows = case.x[..3].iter().product();
    let (x, scale, shift, residual, mut dy) = case.draw();
    let run = |dy: &Array| reference::scale_shift(&x, &scale, &shift, residual.as_ref(), case.activation, dy);
    case.avoid_kinks(&run(&dy).before, &mut dy);
    let expected = run(&dy);

    let (tx, ts, tb, tr) = (tensor(&x), vector(&scale), vector(&shift), residual.as_ref().map(tensor));
    let y = crate::scale_shift(tx.clone(), ts.clone(), tb.clone(), tr.clone(), case.activation);
    assert_close("y", y.clone(), &expected.y.data, 1e-5);
    let grads = (y * tensor(&dy).detach()).sum().backward();
    assert_close("dx", tx.grad(&grads).expect("dx"), &expected.dx.data, 1e-5);
    assert_sum("dscale", ts.grad(&grads).expect("dscale"), &expected.dscale, rows, 1e-5);
    assert_sum("dshift", tb.grad(&grads).expect("dshift"), &expected.dshift, rows, 1e-5);
    if let Some(tr) = tr {
        assert_close("dresidual", tr.grad(&grads).expect("dresidual"), &expected.dresidual.data, 1e-5);
    }
}

fn check_activate(case: &NormCase) {
    let (x, _, _, _, mut dy) = case.draw();
    let c = case.x[3];
    let run =
        |dy: &Array| reference::scale_shift(&x, &vec![1.0; c], &vec![0.0; c], None, case.activation, dy);
    case.avoid_kinks(&run(&dy).before, &mut dy);
    let expected = run(&dy);
    let tx = tensor(&x);
    let y = crate::activate(tx.clone(), case.activation);
    assert_close("y", y.clone(), &expected.y.data, 1e-6);
    let grads = (y * tensor(&dy).detach()).sum().backward();
    assert_close("dx", tx.grad(&grads).expect("dx"), &expected.dx.data, 1e-6);
}

#[derive(Clone, Debug)]
struct PoolCase {
    x: [usize; 4],
    size: usize,
    stride: usize,
    seed: u64,
}

fn pool_case() -> impl Strategy<Value = PoolCase> {
    (1usize..=5, 1usize..=20, 1usize..=20, 1usize..=130, 1usize..=4, 1usize..=3, any::<u64>()).prop_map(
        |(n, h, w, c, size, stride, seed)| PoolCase {
            x: [n, h, w, c],
            size: size.min(h).min(w),
            stride,
            seed,
        },
    )
}

fn check_pools(case: &PoolCase) {
    let mut noise = Noise(case.seed);
    let x = noise.array(case.x);
    let [n, h, w, c] = case.x;
    let side = |stride| [(h - case.size) / stride + 1, (w - case.size) / stride + 1];

    let [oh, ow] = side(case.size);
    let dy = noise.array([n, oh, ow, c]);
    let (y, dx) = reference::max_pool(&x, case.size, &dy);
    let tx = tensor(&x);
    let ty = crate::max_pool2d(tx.clone(), case.size);
    assert_close("max", ty.clone(), &y.data, 0.0);
    let grads = (ty * tensor(&dy).detach()).sum().backward();
    assert_close("max dx", tx.grad(&grads).expect("dx"), &dx.data, 1e-6);

    let [oh, ow] = side(case.stride);
    let dy = noise.array([n, oh, ow, c]);
    let (y, dx) = reference::avg_pool(&x, case.size, case.stride, &dy);
    let tx = tensor(&x);
    let ty = crate::avg_pool2d(tx.clone(), case.size, case.stride);
    assert_close("avg", ty.clone(), &y.data, 1e-5);
    let grads = (ty * tensor(&dy).detach()).sum().backward();
    assert_close("avg dx", tx.grad(&grads).expect("dx"), &dx.data, 1e-5);

    if h == w {
        let dy = noise.array([n, 1, 1, c]);
        let (y, dx) = reference::avg_pool(&x, h, 1, &dy);
        let tx = tensor(&x);
        let ty = crate::global_avg_pool(tx.clone());
        assert_eq!(ty.dims(), [n, c]);
        assert_close("global", ty.clone(), &y.data, 1e-5);
        let grads = (ty * tensor(&dy).detach().reshape([n, c])).sum().backward();
        assert_close("global dx", tx.grad(&grads).expect("dx"), &dx.data, 1e-5);
    }
}

fn moves() -> impl Strategy<Value = (Move, [usize; 4], u64)> {
    let dims = (1usize..=5, 1usize..=9, 1usize..=20, 1usize..=40);
    (0usize..2, dims, 0usize..40, 1usize..40, any::<u64>()).prop_map(|(kind, (n, h, w, c), a, b, seed)| {
        match kind {
            0 => (Move::Take { start: a % c, length: 1 + b % (c - a % c) }, [n, h, w, c], seed),
            _ => (Move::Pad { before: a, behind: b - 1 }, [n, h, w, c], seed),
        }
    })
}

/// y and the gradients of all inputs of `operation`, for inputs and dy drawn from `seed`.
fn bits(seed: u64, shapes: &[[usize; 4]], operation: impl Fn(&[Tensor<4>]) -> Tensor<4>) -> Vec<Vec<u32>> {
    let mut noise = Noise(seed);
    let inputs: Vec<_> = shapes.iter().map(|dims| tensor(&noise.array(*dims))).collect();
    let y = operation(&inputs);
    let dy = tensor(&noise.array(y.dims())).detach();
    let grads = (y.clone() * dy).sum().backward();
    let gradients = inputs.iter().map(|x| x.grad(&grads).expect("all inputs are tracked"));
    let values = |t: Tensor<4>| t.into_data().try_to_vec::<f32>().expect("an f32 tensor");
    let mut all = vec![values(y)];
    all.extend(gradients.map(values));
    all.into_iter().map(|values| values.into_iter().map(f32::to_bits).collect()).collect()
}

/// A convolution behind a batch-norm behind a convolution.
#[derive(Clone, Debug)]
struct ChainCase {
    x: [usize; 4],
    /// Channels of the first result.
    width: usize,
    second: ConvCase,
    residual: bool,
    activation: Activation,
    /// Which of x, weights, gammas, betas and biases have no gradient, a bit each.
    frozen: u8,
}

fn chain_case() -> impl Strategy<Value = ChainCase> {
    let activation = prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::Relu6)];
    let precision = prop_oneof![2 => Just(Precision::F32), 1 => Just(Precision::Bf16)];
    let geometry = (1usize..=4, 1usize..=4, 1usize..=3, 0usize..=2);
    // 0: 1 × 1, 1: depthwise, 2: any other.
    let second = (0usize..=2, 1usize..=40, geometry, precision, any::<bool>(), any::<u64>());
    let frozen = prop_oneof![Just(0u8), any::<u8>()];
    let sides = prop_oneof![(1usize..=9, 4usize..=20, 4usize..=20), (16usize..=20, 4usize..=7, 4usize..=7)];
    (sides, (1usize..=8, 1usize..=130), second, any::<bool>(), activation, frozen).prop_map(
        |((n, h, w), (channels, width), second, residual, activation, frozen)| {
            let (kind, output, (kh, kw, stride, padding), precision, bias, seed) = second;
            let (weight, [stride, padding, groups]) = match kind {
                0 => ([output, width, 1, 1], [1, 0, 1]),
                1 => ([width, 1, kh, kw], [stride, padding, width]),
                _ => ([output, width, kh, kw], [stride, padding, 1]),
            };
            let options = ConvOptions { stride, padding, groups, precision };
            let second = ConvCase { x: [n, h, w, width], weight, bias, options, seed };
            ChainCase { x: [n, h, w, channels], width, second, residual, activation, frozen }
        },
    )
}

/// What is computed on the way is what comes of one step after the other: results, statistics, all gradients.
fn check_chain(case: &ChainCase) {
    let ConvCase { weight, bias, options, seed, .. } = case.second.clone();
    let (channels, width, [output, ..]) = (case.x[3], case.width, weight);
    let pointwise = ConvOptions { stride: 1, padding: 0, groups: 1, precision: options.precision };
    let run = |at_once: bool| -> Vec<(&'static str, Vec<f32>)> {
        let mut noise = Noise(seed);
        let is_frozen = |i: usize| case.frozen >> i & 1 == 1;
        let map = |i: usize, t: Tensor<4>| if is_frozen(i) { Tensor::from_inner(t.inner()) } else { t };
        let per_channel = |i: usize, v: &[f64]| {
            if is_frozen(i) { Tensor::from_inner(vector(v).inner()) } else { vector(v) }
        };
        let x = map(0, tensor(&noise.array(case.x)));
        let weights =
            [([width, channels, 1, 1], 1), (weight, 2)].map(|(dims, i)| map(i, tensor(&noise.array(dims))));
        let gammas = [(width, 3), (output, 4)].map(|(c, i)| per_channel(i, &noise.vector(c)));
        let betas = [(width, 5), (output, 6)].map(|(c, i)| per_channel(i, &noise.vector(c)));
        let biases = [width, output].map(|c| bias.then(|| per_channel(7, &noise.vector(c))));
        let norm = |x: Activations, i: usize, options, residual: Option<Tensor<4>>| {
            let (w, b, g, s) = (weights[i].clone(), biases[i].clone(), gammas[i].clone(), betas[i].clone());
            if at_once {
                crate::conv2d_batch_norm_train(x, w, b, options, g, s, 1e-3, residual, case.activation)
            } else {
                let y = crate::conv2d(x.into_tensor(), w, b, options);
                crate::batch_norm_train(y, g, s, 1e-3, residual, case.activation)
            }
        };
        let first = norm(x.clone().into(), 0, pointwise, None);
        // Also a convolution that no batch-norm follows.
        let input = if at_once { first.y.clone() } else { first.y.clone().into_tensor().into() };
        let aside = crate::conv2d(input, weights[1].clone(), biases[1].clone(), options);
        let residual = case.residual.then(|| tensor(&noise.array(aside.dims())));
        let second = norm(first.y, 1, options, residual.clone());
        let y = second.y.into_tensor() + aside;
        let factor = tensor(&noise.array(y.dims()));
        let grads = (y.clone() * factor).sum().backward();
        let values = |t: Tensor<1>| t.into_data().try_to_vec::<f32>().expect("f32");
        let flat = |t: Tensor<4>| values(t.flatten(0, 3));
        let mut all =
            vec![("mean", values(second.mean)), ("variance", values(second.variance)), ("y", flat(y))];
        for (what, t) in [("dx", &x), ("dw", &weights[0]), ("dw behind", &weights[1])] {
            all.extend(t.grad(&grads).map(|g| (what, flat(g))));
        }
        for v in gammas.iter().chain(&betas) {
            all.extend(v.grad(&grads).map(|g| ("dgamma, dbeta", values(g))));
        }
        let wanted = (0..7).filter(|i| !is_frozen(*i)).count();
        assert_eq!(all.len() - 3, wanted, "gradients of x, weights, gammas and betas");
        all.extend(residual.and_then(|r| r.grad(&grads)).map(|g| ("dresidual", flat(g))));
        if let Some(db) = biases[0].as_ref().and_then(|b| b.grad(&grads)) {
            // Batch-norm takes it away; one after the other leaves the rounding of sums.
            let db = values(db);
            assert!(
                !at_once || db.iter().all(|v| *v == 0.0),
                "a gradient of a bias before a batch-norm: {db:?}"
            );
        }
        all
    };
    // In the mean: a last bit can decide how a factor is rounded to bfloat16, or whether a ReLU lets one value through.
    let tolerance = if options.precision == Precision::F32 { 1e-3 } else { 1e-2 };
    for ((what, found), (_, expected)) in run(true).into_iter().zip(run(false)) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let len = expected.len() as f32;
        let rms = (expected.iter().map(|v| v * v).sum::<f32>() / len).sqrt().max(1e-2);
        let mean = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).sum::<f32>() / len;
        assert!(mean < tolerance * rms, "{what}: {mean:.1e} of {rms:.1e}");
    }
}

/// Every operation of this crate that sums or cuts a tensor, on shapes of several blocks with a remainder.
fn all_bits() -> Vec<Vec<Vec<u32>>> {
    let norm = |c: usize, residual: bool| {
        bits(c as u64, &[[9, 33, 31, c], [9, 33, 31, c]], |t| {
            let vector = |scale: f64| {
                let values: Vec<f64> = (0..c).map(|i| 0.5 + scale * i as f64 / c as f64).collect();
                vector(&values)
            };
            let r = residual.then(|| t[1].clone());
            let y = crate::batch_norm_train(
                t[0].clone(),
                vector(1.0),
                vector(-1.0),
                1e-5,
                r.clone(),
                Activation::Relu,
            );
            let z = crate::scale_shift(y.y.into_tensor(), vector(-0.7), vector(0.3), r, Activation::Relu6);
            // Statistics have no gradient, but their bits count.
            z + t[1].clone() + (y.mean + y.variance).reshape([1, 1, 1, c])
        })
    };
    let mut all: Vec<_> = [16, 24, 65, 128].map(|c| norm(c, true)).into();
    all.extend([16, 64, 130].map(|c| norm(c, false)));
    // Convolutions between batch-norms, and branches.
    for (c, groups) in [(24, 1), (40, 40)] {
        let shapes = [[17, 13, 11, c], [c, c, 1, 1], [c, c / groups, 1, 1], [c, 1, 3, 3]];
        all.push(bits(c as u64, &shapes, |t| {
            let vector = |v: f64| vector(&vec![v; c]);
            let norm = |x: Activations, w: &Tensor<4>, groups: usize| {
                let padding = w.dims()[2] / 2;
                let options = ConvOptions { stride: 1, padding, groups, precision: Precision::F32 };
                let (w, bias, gamma, beta) = (w.clone(), Some(vector(0.3)), vector(1.0), vector(-0.1));
                let relu = Activation::Relu;
                crate::conv2d_batch_norm_train(x, w, bias, options, gamma, beta, 1e-5, None, relu).y
            };
            let y = norm(norm(norm(t[0].clone().into(), &t[1], 1), &t[2], groups), &t[3], c);
            let [a, b] = crate::fork(y.into_tensor());
            let [first, second] = crate::split_channels(a + b * 0.5);
            first * second
        }));
    }
    let x = &[[9, 33, 31, 24]];
    all.push(bits(1, x, |t| crate::max_pool2d(t[0].clone(), 2)));
    all.push(bits(2, x, |t| crate::avg_pool2d(t[0].clone(), 3, 2)));
    all.push(bits(3, x, |t| crate::global_avg_pool(t[0].clone()).reshape([9, 1, 1, 24])));
    all
}

#[test]
fn a_branch_alone_gives_its_gradient() {
    for factor in [1.0, 2.0] {
        // A leaf, or not.
        let gradient = |y: &dyn Fn(Tensor<4>) -> Tensor<4>| -> Vec<f32> {
            let leaf = Tensor::<4>::ones([1, 2, 2, 4], &device()).require_grad();
            let x = if factor == 1.0 { leaf.clone() } else { leaf.clone() * factor };
            let grads = y(x).sum().backward();
            leaf.grad(&grads).expect("a gradient").into_data().try_to_vec().expect("f32")
        };
        for branch in [0, 1] {
            assert_eq!(gradient(&|x| crate::fork(x)[branch].clone()), [factor; 16]);
            let half = |i: usize| if i == branch { factor } else { 0.0 };
            let expected = [half(0), half(0), half(1), half(1)].repeat(4);
            assert_eq!(gradient(&|x| crate::split_channels(x)[branch].clone()), expected);
            // Beside another reader of the same tensor.
            let both = gradient(&|x| {
                let half = crate::split_channels(x.clone())[branch].clone();
                crate::concat_channels(half.clone(), half) + x
            });
            assert_eq!(both, expected.iter().map(|v| 2.0 * v + factor).collect::<Vec<_>>());
        }
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads_or_the_run() {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(all_bits)
    };
    let one = on(1);
    assert!(one == on(1), "a second run gave other bits");
    for threads in [2, 3, 7] {
        assert!(one == on(threads), "{threads} threads gave other bits");
    }
}

#[test]
fn sgd_is_its_definition() {
    let dims = [3, 5, 7, 401];
    let mut noise = Noise(5);
    for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
        let step = SgdStep { rate: 0.1, momentum, nesterov, weight_decay: 5e-3 };
        let mut w = noise.array(dims);
        let mut v: Option<Vec<f64>> = None;
        let (mut tw, mut tv) = (tensor(&w).inner(), None);
        for _ in 0..3 {
            let g = noise.array(dims);
            let decayed: Vec<f64> = w.data.iter().zip(&g.data).map(|(w, g)| g + 5e-3 * w).collect();
            let velocity: Vec<f64> = match v {
                Some(v) => v.iter().zip(&decayed).map(|(v, g)| momentum * v + g).collect(),
                None => decayed.clone(),
            };
            for ((w, v), g) in w.data.iter_mut().zip(&velocity).zip(&decayed) {
                *w -= 0.1
                    * match (momentum > 0.0, nesterov) {
                        (false, _) => *g,
                        (true, false) => *v,
                        (true, true) => g + momentum * v,
                    };
            }
            v = Some(velocity);
            let kept = tw.clone();
            let before = kept.to_data();
            let (weight, velocity) = crate::sgd_step(tw, tensor(&g).inner(), tv, step);
            assert_eq!(kept.into_data(), before, "a shared weight was changed");
            assert_close("weight", weight.clone(), &w.data, 1e-6);
            (tw, tv) = (weight, Some(velocity));
        }
    }
}

#[test]
fn nan_is_let_through() {
    let x = Array { dims: [1, 2, 2, 1], data: vec![f64::NAN, -1.0, 2.0, 7.0] };
    let values = |t: Tensor<4>| t.into_data().try_to_vec::<f32>().expect("an f32 tensor");
    for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
        assert!(values(crate::activate(tensor(&x), activation))[0].is_nan());
        let (one, zero) = (vector(&[1.0]), vector(&[0.0]));
        assert!(values(crate::scale_shift(tensor(&x), one, zero, None, activation))[0].is_nan());
    }
    assert!(values(crate::max_pool2d(tensor(&x), 2))[0].is_nan());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn conv2d_is_the_reference(case in conv_case()) {
        check_conv(&case);
    }

    #[test]
    fn batch_norm_is_the_reference(case in norm_case()) {
        check_batch_norm(&case);
    }

    #[test]
    fn scale_shift_is_the_reference(case in norm_case()) {
        check_scale_shift(&case);
    }

    #[test]
    fn activate_is_the_reference(case in norm_case()) {
        check_activate(&case);
    }

    #[test]
    fn pools_are_the_reference(case in pool_case()) {
        check_pools(&case);
    }

    #[test]
    fn a_convolution_between_batch_norms_is_one_after_the_other(case in chain_case()) {
        // Of one value a channel nothing remains but rounding.
        prop_assume!(case.x[..3].iter().product::<usize>() >= 16);
        check_chain(&case);
    }

    #[test]
    fn scale_shift_behind_a_convolution_is_both(
        case in conv_case(),
        residual: bool,
        activation in prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::Relu6)],
    ) {
        let mut noise = Noise(case.seed);
        let plain = |t: Tensor<4>| t.inner();
        let (x, weight) = (plain(tensor(&noise.array(case.x))), plain(tensor(&noise.array(case.weight))));
        let mut channels = || vector(&noise.vector(case.weight[0])).inner();
        let (scale, shift, bias) = (channels(), channels(), case.bias.then(&mut channels));
        let y = crate::conv2d(x.clone(), weight.clone(), bias.clone(), case.options);
        let r = residual.then(|| plain(tensor(&noise.array(y.dims()))));
        let two = crate::scale_shift(y, scale.clone(), shift.clone(), r.clone(), activation);
        let one = crate::conv2d_scale_shift(x, weight, bias, case.options, scale, shift, r, activation);
        prop_assert_eq!(one.into_data(), two.into_data());
    }

    #[test]
    fn moved_channels_are_the_portable_ones((how, dims, seed) in moves()) {
        let ours = bits(seed, &[dims], |t| channels::move_channels(t[0].clone(), how));
        prop_assert_eq!(ours, bits(seed, &[dims], |t| portable::move_channels(t[0].clone(), how)));
    }

    #[test]
    fn split_channels_are_the_portable_ones(
        (n, h, w, c) in (1usize..5, 1usize..9, 1usize..20, 1usize..40),
        seed: u64,
    ) {
        // Both halves with factors of their own, so that their gradients differ.
        let join = |[a, b]: [Tensor<4>; 2]| a.clone() * b + a;
        let shapes = [[n, h, w, 2 * c]];
        let ours = bits(seed, &shapes, |t| join(crate::split_channels(t[0].clone())));
        let half = |t: &Tensor<4>, start| portable::move_channels(t.clone(), Move::Take { start, length: c });
        prop_assert_eq!(ours, bits(seed, &shapes, |t| join([half(&t[0], 0), half(&t[0], c)])));
    }

    #[test]
    fn gradients_of_a_fork_are_added(
        (n, h, w, c) in (1usize..5, 1usize..9, 1usize..20, prop_oneof![1usize..40, Just(400)]),
        seed: u64,
    ) {
        let shapes = [[n, h, w, c]; 2];
        let ours = bits(seed, &shapes, |t| {
            let [a, b] = crate::fork(t[0].clone());
            a * t[1].clone() + b
        });
        prop_assert_eq!(ours, bits(seed, &shapes, |t| t[0].clone() * t[1].clone() + t[0].clone()));
    }

    #[test]
    fn concatenated_channels_are_the_portable_ones(
        (n, h, w) in (1usize..5, 1usize..9, 1usize..20),
        (a, b) in (1usize..40, 1usize..40),
        seed: u64,
    ) {
        let shapes = [[n, h, w, a], [n, h, w, b]];
        let ours = bits(seed, &shapes, |t| channels::concat(t[0].clone(), t[1].clone()));
        prop_assert_eq!(ours, bits(seed, &shapes, |t| portable::concat(t[0].clone(), t[1].clone())));
    }

    #[test]
    fn interleaved_channels_are_the_portable_ones(
        (n, h, w, c) in (1usize..5, 1usize..9, 1usize..20, prop_oneof![1usize..40, Just(300)]),
        seed: u64,
    ) {
        let shapes = [[n, h, w, c]; 2];
        let ours = bits(seed, &shapes, |t| channels::interleave(t[0].clone(), t[1].clone()));
        prop_assert_eq!(ours, bits(seed, &shapes, |t| portable::interleave(t[0].clone(), t[1].clone())));
    }
}
