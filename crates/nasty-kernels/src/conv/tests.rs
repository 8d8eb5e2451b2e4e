//! Every instruction set and precision against the f64 reference over random shapes.

use proptest::prelude::*;

use super::choose::{Algorithm, Choice, choose};
use super::compute::Computation;
use super::fusion::Fusion;
use super::geometry::ConvShape;
use crate::reference::{self, Array, Noise};
use crate::simd::{Path, round_to_bf16};
use crate::{Activation, ConvOptions, Precision};

#[derive(Clone, Debug)]
pub(crate) struct ConvCase {
    pub(crate) x: [usize; 4],
    pub(crate) weight: [usize; 4],
    pub(crate) bias: bool,
    pub(crate) options: ConvOptions,
    pub(crate) seed: u64,
}

pub(crate) fn conv_case() -> impl Strategy<Value = ConvCase> {
    let channels =
        prop_oneof![4 => (1usize..=40, 1usize..=40), 1 => (1usize..=130, 1usize..=130), 1 => Just((64, 64))];
    let groups = prop_oneof![4 => Just(1usize), 1 => 2usize..=5, 2 => Just(0usize)];
    let side = prop_oneof![4 => 1usize..=17, 1 => 1usize..=65];
    let kernel = prop_oneof![3 => Just(3usize), 2 => Just(1usize), 1 => 2usize..=5];
    (
        channels,
        groups,
        (side.clone(), side),
        (kernel.clone(), kernel),
        1usize..=3,
        0usize..=2,
        1usize..=9,
        any::<bool>(),
        any::<u64>(),
    )
        .prop_map(|((cin, cout), groups, (h, w), (kh, kw), stride, padding, n, bias, seed)| {
            // 0 stands for depthwise; other groups multiply the channels.
            let (per_group, cout, groups) = match groups {
                0 => (1, cin * (1 + cout % 2), cin),
                1 => (cin, cout, 1),
                g => (cin.div_ceil(g), cout.div_ceil(g) * g, g),
            };
            let (kh, kw) = (kh.min(h + 2 * padding), kw.min(w + 2 * padding));
            // The reference costs one step a product; keep a case in the tens of milliseconds.
            let cost = h * w * kh * kw * per_group * cout;
            let n = n.min((20_000_000 / cost).max(1));
            ConvCase {
                x: [n, h, w, per_group * groups],
                weight: [cout, per_group, kh, kw],
                bias,
                options: ConvOptions { stride, padding, groups, precision: Precision::F32 },
                seed,
            }
        })
}

impl ConvCase {
    fn shape(&self) -> ConvShape {
        ConvShape::new(self.x, self.weight, self.options)
    }

    /// Whether bfloat16 goes through Winograd's transforms before it is rounded.
    fn is_bf16_winograd(&self) -> bool {
        choose(&self.shape(), Precision::Bf16, Path::Baseline).algorithm == Algorithm::Winograd
    }
}

/// Shapes most of which Winograd's method computes.
fn winograd_case(
    channels: impl Strategy<Value = usize> + Clone + 'static,
) -> impl Strategy<Value = ConvCase> {
    let (sides, options) = ((2usize..=19, 2usize..=19), (1usize..=3, 0usize..=2));
    (channels.clone(), channels, sides, options, 1usize..=20, any::<bool>(), any::<u64>()).prop_map(
        |(cin, cout, (h, w), (groups, padding), n, bias, seed)| {
            let (h, w) = (h.max(3), w.max(3));
            ConvCase {
                x: [n.min((2_000_000 / (h * w * cin * cout)).max(1)), h, w, cin * groups],
                weight: [cout * groups, cin, 3, 3],
                bias,
                options: ConvOptions { stride: 1, padding, groups, precision: Precision::F32 },
                seed,
            }
        },
    )
}

/// y, dx, dw, db; and dx and dw computed together.
fn compute(case: &ConvCase, path: Path, precision: Precision) -> [Vec<f32>; 6] {
    let f32s = |v: &[f64]| -> Vec<f32> { v.iter().map(|v| *v as f32).collect() };
    let mut noise = Noise(case.seed);
    let (x, weight) = (f32s(&noise.array(case.x).data), f32s(&noise.array(case.weight).data));
    let bias = case.bias.then(|| f32s(&noise.vector(case.weight[0])));
    let shape = case.shape();
    let dy = f32s(&noise.array(shape.y()).data);
    let c = Computation { shape, path, precision };
    let (dx, dw) = c.backward(Fusion::default(), &x, &weight, &dy);
    [
        c.forward(Fusion::default(), &x, &weight, bias.as_deref()),
        c.backward_input(None, &weight, &dy),
        c.backward_weight(&x, &dy),
        c.backward_bias(&dy),
        dx,
        dw,
    ]
}

/// The reference for factors rounded to the precision, so that only the rounding of sums remains.
fn expected(case: &ConvCase, precision: Precision) -> [Vec<f64>; 4] {
    let mut noise = Noise(case.seed);
    let (mut x, mut weight) = (noise.array(case.x), noise.array(case.weight));
    let bias = case.bias.then(|| noise.vector(case.weight[0]));
    let mut dy = noise.array(case.shape().y());
    let (_, _, db) = reference::conv2d_backward(&x, &weight, &dy, case.options);
    let [cout, per_group, ..] = case.weight;
    let depthwise = per_group == 1 && cout == case.options.groups;
    let y = |x: &Array, weight: &Array| reference::conv2d(x, weight, bias.as_deref(), case.options).data;
    let exact_y = y(&x, &weight);
    if precision == Precision::Bf16 && !depthwise {
        for v in [&mut x, &mut weight, &mut dy].into_iter().flat_map(|a| &mut a.data) {
            *v = f64::from(f32::from_bits(round_to_bf16(*v as f32) & 0xffff_0000));
        }
    }
    let c = Computation { shape: case.shape(), path: Path::Baseline, precision };
    let y = if c.choice().forward == precision { y(&x, &weight) } else { exact_y };
    let (dx, dw, _) = reference::conv2d_backward(&x, &weight, &dy, case.options);
    [y, dx.data, dw.data, db]
}

/// Checks the largest difference, relative to the root mean square of the expected values, or to their `usual` size where they
/// cancel.
#[track_caller]
fn assert_close(what: &str, found: &[f32], expected: &[f64], usual: f64, tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let rms = (expected.iter().map(|v| v * v).sum::<f64>() / expected.len() as f64).sqrt().max(usual);
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*f) - e).abs() / rms;
        assert!(error <= tolerance, "{what}[{i}]: found {f}, expected {e}, {error:.2e} of the rms {rms:.2e}");
    }
}

/// Root mean square of the differences.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

fn check(case: &ConvCase, precision: Precision, tolerance: f64) {
    let expected = expected(case, precision);
    let [cout, channels, kh, kw] = case.weight;
    let positions = case.shape().y()[..3].iter().product();
    let terms = [channels * kh * kw, cout / case.options.groups, positions, positions];
    for path in Path::supported() {
        let found = compute(case, path, precision);
        let of = ["y", "dx", "dw", "db", "dx of both", "dw of both"].into_iter().zip([0, 1, 2, 3, 1, 2]);
        for ((what, i), found) in of.zip(&found) {
            let usual = 0.5 * (terms[i] as f64).sqrt();
            assert_close(&format!("{} {what}", path.name()), found, &expected[i], usual, tolerance);
        }
    }
}

/// A fused activation is the activation of the result, and lets NaN through.
fn check_activation(case: &ConvCase) {
    let f32s = |v: &[f64]| -> Vec<f32> { v.iter().map(|v| *v as f32).collect() };
    let mut noise = Noise(case.seed);
    let (mut x, weight) = (f32s(&noise.array(case.x).data), f32s(&noise.array(case.weight).data));
    x[0] = f32::NAN;
    for path in Path::supported() {
        let c = Computation { shape: case.shape(), path, precision: Precision::F32 };
        let y = |activation| c.forward(Fusion { activation, ..Fusion::default() }, &x, &weight, None);
        let plain = y(Activation::None);
        assert!(plain.iter().any(|v| v.is_nan()), "the first pixel is read");
        for (activation, high) in [(Activation::Relu, f32::INFINITY), (Activation::Relu6, 6.0)] {
            for (found, v) in y(activation).into_iter().zip(&plain) {
                let expected = if v.is_nan() { *v } else { v.clamp(0.0, high) };
                let same = found == expected || found.is_nan() && expected.is_nan();
                assert!(same, "{} {activation:?} of {v}: {found}", path.name());
            }
        }
    }
}

#[test]
fn a_fused_activation_is_the_activation_of_the_result() {
    // Pointwise, both kinds of depthwise, Winograd and direct; channels that fill vectors and that do not.
    for [cin, cout, kernel, stride, groups] in [
        [40, 37, 1, 1, 1],
        [16, 64, 1, 1, 1],
        [37, 37, 3, 1, 37],
        [64, 64, 3, 2, 64],
        [5, 5, 3, 1, 5],
        [32, 32, 3, 1, 1],
        [3, 19, 3, 2, 1],
    ] {
        check_activation(&layer(3, 9, [cin, cout], kernel, stride, groups));
    }
}

/// A layer as networks have them, large enough for several tasks.
fn layer(
    n: usize,
    side: usize,
    [cin, cout]: [usize; 2],
    kernel: usize,
    stride: usize,
    groups: usize,
) -> ConvCase {
    ConvCase {
        x: [n, side, side, cin],
        weight: [cout, cin / groups, kernel, kernel],
        bias: true,
        options: ConvOptions { stride, padding: kernel / 2, groups, precision: Precision::F32 },
        seed: 7,
    }
}

#[test]
fn layers_of_the_networks_are_the_reference() {
    for case in [
        layer(9, 8, [64, 64], 3, 1, 1),
        layer(17, 4, [160, 48], 3, 1, 1),
        layer(11, 9, [48, 64], 3, 2, 1),
        layer(16, 4, [300, 130], 1, 1, 1),
        layer(3, 12, [40, 72], 1, 2, 1),
        layer(3, 13, [24, 144], 1, 1, 1),
        layer(5, 9, [58, 58], 1, 1, 1),
        layer(1, 3, [7, 5], 1, 1, 1),
        layer(1, 1, [33, 20], 1, 1, 1),
        layer(40, 4, [300, 330], 1, 1, 1),
        layer(4, 3, [530, 40], 1, 1, 1),
        layer(8, 13, [3, 24], 3, 1, 1),
        layer(10, 6, [128, 128], 3, 1, 8),
        layer(9, 7, [144, 144], 3, 1, 144),
        layer(9, 7, [58, 58], 3, 2, 58),
        layer(3, 5, [24, 24], 3, 1, 24),
        layer(3, 11, [7, 7], 3, 2, 7),
        layer(2, 9, [40, 40], 5, 1, 40),
        layer(2, 34, [96, 96], 3, 2, 96),
    ] {
        check(&case, Precision::F32, 2e-5);
        if !case.is_bf16_winograd() {
            check(&case, Precision::Bf16, 2e-5);
        }
    }
}

#[test]
fn the_algorithm_follows_from_the_shape() {
    let of = |case: ConvCase, precision| choose(&case.shape(), precision, Path::Avx2);
    let (f32, bf16) = (Precision::F32, Precision::Bf16);
    for (case, precision, expected) in [
        (layer(8, 8, [64, 64], 3, 1, 1), f32, Algorithm::Winograd),
        (layer(8, 8, [15, 64], 3, 1, 1), f32, Algorithm::Direct),
        (layer(8, 8, [48, 64], 3, 1, 1), bf16, Algorithm::Direct),
        (layer(8, 8, [64, 64], 3, 2, 1), f32, Algorithm::Direct),
        // Of 16 positions only 7 · 7 / 9 taps lie inside: 16 products save nothing.
        (layer(8, 1, [64, 64], 3, 1, 1), f32, Algorithm::Direct),
        (layer(8, 8, [64, 64], 1, 1, 1), f32, Algorithm::Pointwise),
        (layer(8, 8, [64, 64], 1, 2, 1), f32, Algorithm::Direct),
        (layer(8, 8, [64, 64], 3, 1, 64), bf16, Algorithm::Depthwise),
    ] {
        assert_eq!(of(case.clone(), precision).algorithm, expected, "{case:?} in {precision:?}");
    }
    let Choice { forward, backward, .. } = of(layer(8, 8, [24, 64], 1, 1, 1), bf16);
    assert_eq!((forward, backward), (f32, bf16), "few inputs are not rounded forward");
    assert_eq!(of(layer(8, 8, [64, 64], 3, 1, 64), bf16).forward, f32);
    for (case, together) in [
        (layer(16, 8, [64, 64], 3, 1, 64), true),
        (layer(15, 8, [64, 64], 3, 1, 64), false),
        (layer(16, 64, [65, 65], 3, 1, 65), false),
        (layer(64, 8, [64, 64], 1, 1, 1), true),
        (layer(1, 4, [64, 64], 1, 1, 1), false),
        (layer(64, 8, [512, 512], 1, 1, 1), false),
        (layer(64, 8, [64, 64], 3, 1, 1), false),
    ] {
        assert_eq!(of(case.clone(), f32).gradients_together, together, "{case:?}");
    }
}

#[test]
fn threads_change_no_bit_and_neither_does_running_again() {
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
    let (one, three) = (pool(1), pool(3));
    for case in [
        layer(25, 10, [40, 72], 3, 2, 1),
        layer(25, 9, [64, 96], 3, 1, 1),
        layer(20, 8, [64, 64], 1, 1, 1),
        layer(70, 8, [120, 330], 1, 1, 1),
        layer(40, 4, [330, 120], 1, 1, 1),
        layer(19, 8, [48, 48], 3, 1, 48),
    ] {
        for (path, precision) in
            Path::supported().into_iter().flat_map(|p| [(p, Precision::F32), (p, Precision::Bf16)])
        {
            let first = one.install(|| compute(&case, path, precision));
            for again in [&one, &three, &three] {
                let second = again.install(|| compute(&case, path, precision));
                for (a, b) in first.iter().zip(&second) {
                    let same = a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(same, "{path:?} {precision:?} {case:?}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn f32_is_the_reference(case in conv_case()) {
        check(&case, Precision::F32, 2e-5);
    }

    #[test]
    fn f32_by_winograd_is_the_reference(
        case in winograd_case(prop_oneof![16usize..=40, Just(64), 65usize..=90])
    ) {
        check(&case, Precision::F32, 2e-5);
    }

    #[test]
    fn bf16_is_the_reference_of_rounded_factors(
        case in conv_case().prop_filter("not by Winograd's method", |c| !c.is_bf16_winograd())
    ) {
        check(&case, Precision::Bf16, 2e-5);
    }

    /// Sums of factors are rounded here, so errors are somewhat larger than for rounded factors.
    #[test]
    fn bf16_by_winograd_is_near_the_reference(
        case in winograd_case(prop_oneof![Just(32usize), Just(64), Just(96)])
            .prop_filter("by Winograd's method", ConvCase::is_bf16_winograd)
    ) {
        let (exact, rounded) = (expected(&case, Precision::F32), expected(&case, Precision::Bf16));
        for path in Path::supported() {
            let found: [Vec<f64>; 6] =
                compute(&case, path, Precision::Bf16).map(|v| v.into_iter().map(f64::from).collect());
            for (what, ((found, rounded), exact)) in
                ["y", "dx", "dw"].iter().zip(found.iter().zip(&rounded).zip(&exact))
            {
                let (error, usual) = (distance(found, exact), distance(rounded, exact));
                prop_assert!(error <= 2.0 * usual, "{} {what}: {error:.2e}, {usual:.2e}", path.name());
            }
        }
    }
}

/// Whoever changes these bits raises the numerics version (`nasty_teacher::numerics`): logit tables, saved states and results of
/// other bits must not be mixed with new ones.
#[test]
#[cfg(target_arch = "x86_64")]
fn bits_are_those_of_the_present_numerics() {
    let cases = [
        layer(9, 8, [64, 64], 3, 1, 1),
        layer(17, 4, [160, 48], 3, 1, 1),
        layer(11, 9, [48, 64], 3, 2, 1),
        layer(16, 4, [300, 130], 1, 1, 1),
        layer(3, 12, [40, 72], 1, 2, 1),
        layer(3, 13, [24, 144], 1, 1, 1),
        layer(8, 13, [3, 24], 3, 1, 1),
        layer(10, 6, [128, 128], 3, 1, 8),
        layer(17, 7, [144, 144], 3, 1, 144),
        layer(9, 7, [58, 58], 3, 2, 58),
        layer(2, 9, [40, 40], 5, 1, 40),
    ];
    // FNV-1a of all results.
    let digest = |path, precision| {
        let results = cases.iter().flat_map(|case| compute(case, path, precision)).flatten();
        results.fold(0xcbf2_9ce4_8422_2325_u64, |hash, v| {
            (hash ^ u64::from(v.to_bits())).wrapping_mul(0x0100_0000_01b3)
        })
    };
    for path in Path::supported() {
        let expected = match path {
            Path::Baseline => [0x5a1d_3f66_5883_15ee, 0xbf02_9715_f433_2b6c],
            Path::Avx2 => [0x159d_fa8c_6436_2d5a, 0x55aa_1cfd_8d42_af23],
            Path::Avx512 => [0x51a7_f5f8_bec3_251e, 0x989b_0946_393f_84c7],
            Path::Avx512Bf16 => [0x51a7_f5f8_bec3_251e, 0x569c_6b75_7a9f_9d2f],
        };
        assert_eq!([Precision::F32, Precision::Bf16].map(|p| digest(path, p)), expected, "{path:?}");
    }
}
