//! The public operations and all their gradients against the f64 reference over random shapes.

mod chain;
mod channels;
mod series;

use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;

use crate::conv::tests::{ConvCase, conv_case};
use crate::reference::{self, Array, Noise};
use crate::{Activation, Activations, ConvOptions, Precision, SgdStep};

fn device() -> Device {
    Device::flex().autodiff()
}

pub(crate) fn tensor(a: &Array) -> Tensor<4> {
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
    let y = crate::scale_shift(tx.clone(), ts.clone(), tb.clone(), tr.clone(), case.activation).into_tensor();
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
    // Of both zeros one: a sum with 0 tells them apart.
    all.into_iter().map(|values| values.into_iter().map(|v| (v + 0.0).to_bits()).collect()).collect()
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
            let z = crate::scale_shift(y.y.into_tensor(), vector(-0.7), vector(0.3), r, Activation::Relu6)
                .into_tensor();
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
        assert!(
            values(crate::scale_shift(tensor(&x), one, zero, None, activation).into_tensor())[0].is_nan()
        );
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
    fn scale_shift_behind_a_convolution_is_both_up_to_rounding(
        case in conv_case(),
        (before, residual) in any::<(bool, bool)>(),
        activation in prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::Relu6)],
    ) {
        let mut noise = Noise(case.seed);
        let plain = |t: Tensor<4>| t.inner();
        let (x, weight) = (plain(tensor(&noise.array(case.x))), plain(tensor(&noise.array(case.weight))));
        let mut channels = |count| vector(&noise.vector(count)).inner();
        let x = if before {
            crate::scale_shift(x, channels(case.x[3]), channels(case.x[3]), None, activation)
        } else {
            x.into()
        };
        let cout = case.weight[0];
        let (scale, shift, bias) = (channels(cout), channels(cout), case.bias.then(|| channels(cout)));
        let y = crate::conv2d(x.clone().into_tensor(), weight.clone(), bias.clone(), case.options);
        let r = residual.then(|| plain(tensor(&noise.array(y.dims()))));
        let two = crate::scale_shift(y, scale.clone(), shift.clone(), r.clone(), activation).into_tensor();
        let one = crate::conv2d_scale_shift(x, weight, bias, case.options, scale, shift, r, activation).into_tensor();
        let two: Vec<f64> = two.into_data().iter::<f64>().collect();
        let terms = case.weight[1..].iter().product();
        // Each of both may be as far from the truth as `check_conv` lets it.
        assert_sum("y", one, &two, terms, 4e-5);
    }
}
