//! Convolutions in evaluation mode, one behind the other.

use burn::tensor::Tensor;
use proptest::prelude::*;

use super::{tensor, vector};
use crate::reference::Noise;
use crate::{Activation, Activations, ConvOptions, Precision};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Pointwise { output: usize },
    Depthwise { side: usize, stride: usize },
    Full { output: usize },
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        3 => (1usize..=70).prop_map(|output| Kind::Pointwise { output }),
        3 => (1usize..=4, 1usize..=2).prop_map(|(side, stride)| Kind::Depthwise { side, stride }),
        1 => (1usize..=20).prop_map(|output| Kind::Full { output }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// To the last bit, with any number of threads, and also of fewer images than threads.
    #[test]
    fn convolutions_at_once_are_one_after_the_other(
        (n, h, w, channels) in (1usize..=20, 3usize..=20, 3usize..=20, 1usize..=70),
        kinds in prop::collection::vec(kind(), 2..=5),
        (residual, threads, bf16, seed) in (any::<bool>(), 1usize..=3, any::<bool>(), any::<u64>()),
        activation in prop_oneof![Just(Activation::None), Just(Activation::Relu), Just(Activation::Relu6)],
    ) {
        let precision = if bf16 { Precision::Bf16 } else { Precision::F32 };
        let mut noise = Noise(seed);
        let start = tensor(&noise.array([n, h, w, channels])).inner();
        let mut links = Vec::new();
        let mut width = channels;
        for kind in kinds {
            let (weight, stride, padding, groups) = match kind {
                Kind::Pointwise { output } => ([output, width, 1, 1], 1, 0, 1),
                Kind::Depthwise { side, stride } => ([width, 1, side, side], stride, side / 2, width),
                Kind::Full { output } => ([output, width, 3, 3], 1, 1, 1),
            };
            width = weight[0];
            let mut channels = || vector(&noise.vector(width)).inner();
            let vectors = [channels(), channels(), channels()];
            let weight = tensor(&noise.array(weight)).inner();
            links.push((weight, vectors, ConvOptions { stride, padding, groups, precision }));
        }
        let result = |residual: Option<Tensor<4>>, at_once: bool| {
            let mut x = Activations::from(start.clone());
            for (i, (weight, [bias, scale, shift], options)) in links.iter().enumerate() {
                let residual = residual.clone().filter(|_| i + 1 == links.len());
                let (weight, bias) = (weight.clone(), Some(bias.clone()));
                let [scale, shift] = [scale, shift].map(Clone::clone);
                x = crate::conv2d_scale_shift(x, weight, bias, *options, scale, shift, residual, activation);
                let dims = x.dims();
                if !at_once {
                    x = x.into_tensor().into();
                }
                assert_eq!(x.dims(), dims);
            }
            x.into_tensor()
        };
        let one_by_one = result(None, false);
        let residual = residual.then(|| tensor(&noise.array(one_by_one.dims())).inner());
        let values = |x: Tensor<4>| -> Vec<u32> { x.into_data().iter::<f32>().map(f32::to_bits).collect() };
        let one_by_one = values(result(residual.clone(), false));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let at_once = pool.install(|| values(result(residual, true)));
        prop_assert_eq!(one_by_one, at_once);
    }
}
