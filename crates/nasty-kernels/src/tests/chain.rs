//! Convolutions between batch-norms.

use burn::tensor::Tensor;
use proptest::prelude::*;

use super::{tensor, vector};
use crate::conv::tests::ConvCase;
use crate::reference::Noise;
use crate::{Activation, Activations, ConvOptions, Precision};

/// A convolution behind a batch-norm behind a convolution.
#[derive(Clone, Debug)]
struct ChainCase {
    x: [usize; 4],
    /// Channels of the first result.
    width: usize,
    second: ConvCase,
    residual: bool,
    /// Whether the first result is read twice.
    two_readers: bool,
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
    let readers = (any::<bool>(), any::<bool>());
    let sides = prop_oneof![(1usize..=9, 4usize..=20, 4usize..=20), (16usize..=20, 4usize..=7, 4usize..=7)];
    (sides, (1usize..=8, 1usize..=130), second, readers, activation, frozen).prop_map(
        |((n, h, w), (channels, width), second, (residual, two_readers), activation, frozen)| {
            let (kind, output, (kh, kw, stride, padding), precision, bias, seed) = second;
            let (weight, [stride, padding, groups]) = match kind {
                0 => ([output, width, 1, 1], [1, 0, 1]),
                1 => ([width, 1, kh, kw], [stride, padding, width]),
                _ => ([output, width, kh, kw], [stride, padding, 1]),
            };
            let options = ConvOptions { stride, padding, groups, precision };
            let second = ConvCase { x: [n, h, w, width], weight, bias, options, seed };
            ChainCase { x: [n, h, w, channels], width, second, residual, two_readers, activation, frozen }
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
        let [mean, variance] = [first.mean, first.variance];
        let input = if at_once { first.y } else { first.y.into_tensor().into() };
        // A convolution that no batch-norm follows, as the only reader of the first result or beside another: alone, a
        // batch-norm behind would take away most of what is compared.
        let aside = crate::conv2d(input.clone(), weights[1].clone(), biases[1].clone(), options);
        let residual = case.residual.then(|| tensor(&noise.array(aside.dims())));
        let (y, statistics) = if case.two_readers {
            let second = norm(input, 1, options, residual.clone());
            (second.y.into_tensor() + aside, [second.mean, second.variance])
        } else {
            (aside, [mean, variance])
        };
        let factor = tensor(&noise.array(y.dims()));
        let grads = (y.clone() * factor).sum().backward();
        let values = |t: Tensor<1>| t.into_data().try_to_vec::<f32>().expect("f32");
        let flat = |t: Tensor<4>| values(t.flatten(0, 3));
        let [mean, variance] = statistics;
        let mut all = vec![("mean", values(mean)), ("variance", values(variance)), ("y", flat(y))];
        for (what, t) in [("dx", &x), ("dw", &weights[0]), ("dw behind", &weights[1])] {
            all.extend(t.grad(&grads).map(|g| (what, flat(g))));
        }
        for v in gammas.iter().chain(&betas) {
            all.extend(v.grad(&grads).map(|g| ("dgamma, dbeta", values(g))));
        }
        let used = if case.two_readers { &[0, 1, 2, 3, 4, 5, 6][..] } else { &[0, 1, 2, 3, 5] };
        let wanted = used.iter().filter(|i| !is_frozen(**i)).count();
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
    // In the mean: a last bit can decide how a factor is rounded to bfloat16, or whether a ReLU lets one value through; and with one
    // reader more of the gradient cancels.
    let cancels = if case.two_readers { 1.0 } else { 5.0 };
    let tolerance = cancels * if options.precision == Precision::F32 { 1e-3 } else { 1e-2 };
    for ((what, found), (_, expected)) in run(true).into_iter().zip(run(false)) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let len = expected.len() as f32;
        let rms = (expected.iter().map(|v| v * v).sum::<f32>() / len).sqrt().max(1e-2);
        let mean = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).sum::<f32>() / len;
        assert!(mean < tolerance * rms, "{what}: {mean:.1e} of {rms:.1e}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_convolution_between_batch_norms_is_one_after_the_other(case in chain_case()) {
        // Of one value a channel nothing remains but rounding.
        prop_assume!(case.x[..3].iter().product::<usize>() >= 16);
        check_chain(&case);
    }
}
