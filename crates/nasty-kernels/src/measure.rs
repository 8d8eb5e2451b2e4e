//! What the machine can do, and how fast the kernels are, for benchmarks.
#![allow(unsafe_code, reason = "a loop over vector registers")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::conv::{Computation, ConvShape, Fusion};
use crate::simd::{Element, Isa, Job, Pair, Path};
use crate::{ConvOptions, Precision};

/// The instruction set that the kernels use on this machine: `avx512bf16`, `avx512`, `avx2` or `baseline`.
pub fn instruction_set() -> &'static str {
    Path::chosen().name()
}

/// Floating-point operations per second of one core in a loop over registers; a product and a sum count as two. The best of
/// several short runs.
pub fn peak_flops(precision: Precision) -> f64 {
    const STEPS: usize = 1_000_000;
    let path = Path::chosen();
    let (values, run): (_, fn(Path) -> f32) = match precision {
        Precision::F32 => (1, |path| path.run(Registers::<f32>(STEPS, 1.0))),
        Precision::Bf16 => (2, |path| path.run(Registers::<Pair>(STEPS, Pair::pack(1.0, 1.0)))),
    };
    let best = (0..10).map(|_| time(|| run(path))).min().unwrap_or_default();
    (STEPS * SUMS * path.lanes() * 2 * values) as f64 / best.as_secs_f64()
}

/// Registers that hold sums: more than the latency of a multiply-add times the number that start per cycle.
const SUMS: usize = 12;

struct Registers<E>(usize, E);

impl<E: Element> Job for Registers<E> {
    type Output = f32;

    #[inline(always)]
    fn run<I: Isa>(self) -> f32 {
        let factors = black_box([self.1; 16]);
        let mut result = [0.0; 16];
        // SAFETY: a vector is no longer than the arrays, and the instruction set is there, for a job runs.
        unsafe {
            let factor = I::load(factors.as_ptr().cast());
            let mut sums = [I::zero(); SUMS];
            for _ in 0..self.0 {
                // No closure here: if it is not inlined, it is compiled for the baseline.
                for sum in &mut sums {
                    *sum = E::multiply_add::<I>(factor, factor, *sum);
                }
            }
            let mut total = I::zero();
            for sum in sums {
                total = I::add(total, sum);
            }
            I::store(result.as_mut_ptr(), total);
        }
        result[0]
    }
}

/// How long the computations of one convolution took.
#[derive(Clone, Copy, Debug)]
pub struct ConvTimes {
    /// Output.
    pub forward: Duration,
    /// Gradient of the input.
    pub backward_input: Duration,
    /// Gradient of the weight.
    pub backward_weight: Duration,
    /// Both gradients at once.
    pub backward: Duration,
    /// Floating-point operations of each by definition; products with padding count.
    pub flops: f64,
}

/// Runs a convolution of x `[n, h, w, cin]` and weight `[cout, cin / groups, kh, kw]`, which must fit together, on
/// the current rayon threads: the best of `repeats` for each computation.
pub fn conv_times(x: [usize; 4], weight: [usize; 4], options: ConvOptions, repeats: usize) -> ConvTimes {
    crate::check_conv(x, weight, None, options);
    let shape = ConvShape::new(x, weight, options);
    let c = Computation::new(shape, options.precision);
    let fill = |dims: [usize; 4]| -> Vec<f32> {
        (0..dims.iter().product()).map(|i: usize| (i * 7919 % 1000) as f32 * 1e-3 - 0.5).collect()
    };
    let (x, w, dy) = (fill(shape.x()), fill(shape.weight()), fill(shape.y()));
    let products = dy.len() * shape.cin / shape.groups * shape.kh * shape.kw;
    let mut times = ConvTimes {
        forward: Duration::MAX,
        backward_input: Duration::MAX,
        backward_weight: Duration::MAX,
        backward: Duration::MAX,
        flops: 2.0 * products as f64,
    };
    for _ in 0..repeats {
        times.forward = times.forward.min(time(|| c.forward(Fusion::default(), &x, &w, None)));
        times.backward_input = times.backward_input.min(time(|| c.backward_input(None, &w, &dy)));
        times.backward_weight = times.backward_weight.min(time(|| c.backward_weight(&x, &dy)));
        times.backward = times.backward.min(time(|| c.backward(Fusion::default(), &x, &w, &dy)));
    }
    times
}

fn time<T>(f: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(f());
    start.elapsed()
}
