//! Channels moved about, and operations with two results.

use burn::tensor::Tensor;
use proptest::prelude::*;

use super::{bits, device};
use crate::channels::Move;
use crate::{channels, portable};

fn moves() -> impl Strategy<Value = (Move, [usize; 4], u64)> {
    let dims = (1usize..=5, 1usize..=9, 1usize..=20, 1usize..=40);
    (0usize..2, dims, 0usize..40, 1usize..40, any::<u64>()).prop_map(|(kind, (n, h, w, c), a, b, seed)| {
        match kind {
            0 => (Move::Take { start: a % c, length: 1 + b % (c - a % c) }, [n, h, w, c], seed),
            _ => (Move::Pad { before: a, behind: b - 1 }, [n, h, w, c], seed),
        }
    })
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
            assert_eq!(
                gradient(&|x| crate::interleave_halves(x.clone(), x)[branch].clone()),
                expected.iter().map(|v| 2.0 * v).collect::<Vec<_>>()
            );
            assert_eq!(gradient(&|x| crate::split_channels(x)[branch].clone()), expected);
            // Beside a reader of the whole tensor.
            let both = gradient(&|x| {
                let half = crate::split_channels(x.clone())[branch].clone();
                crate::concat_channels(half.clone(), half) + x
            });
            assert_eq!(both, expected.iter().map(|v| 2.0 * v + factor).collect::<Vec<_>>());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

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

    #[test]
    fn interleaved_halves_are_the_portable_ones(
        (n, h, w, c) in (1usize..5, 1usize..9, 1usize..20, prop_oneof![1usize..40, Just(150)]),
        seed: u64,
    ) {
        // Both halves with factors of their own, so that their gradients differ.
        let join = |[a, b]: [Tensor<4>; 2]| a.clone() * b + a;
        let shapes = [[n, h, w, 2 * c]; 2];
        let ours = bits(seed, &shapes, |t| join(crate::interleave_halves(t[0].clone(), t[1].clone())));
        let expected =
            bits(seed, &shapes, |t| join(portable::halves(portable::interleave(t[0].clone(), t[1].clone()))));
        prop_assert_eq!(ours, expected);
    }
}
