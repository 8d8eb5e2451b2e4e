//! Activations that are no clamps: one operation on every element, forward and backward.
#![allow(unsafe_code, reason = "results are not filled with zeros first")]

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, activation};
use rayon::prelude::*;
use std::mem::MaybeUninit;

use crate::buffers::filled;
use crate::flex;
use crate::isa::{MulAdd, per_isa};

/// An element-wise activation that is computed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// x·σ(x) with the logistic function σ (Elfwing et al., 2018).
    Silu,
    /// σ(x) = 1 / (1 + exp(−x)).
    Sigmoid,
    /// x·Φ(x) with the normal distribution function Φ (Hendrycks & Gimpel, 2016); no tanh approximation.
    Gelu,
    /// x·min(max(x + 3, 0), 6) / 6 (Howard et al., ICCV 2019).
    HardSwish,
    /// min(max(x + 3, 0), 6) / 6; its derivative is 1/6 strictly between −3 and 3, else 0.
    HardSigmoid,
}

/// The curve at every element of x `[n, h, w, c]`.
pub fn curve(x: Tensor<4>, curve: Curve) -> Tensor<4> {
    if flex::is_flex(&x) {
        return Tensor::from_dispatch(<Dispatch as CurveBackend>::nasty_curve(x.into_dispatch(), curve));
    }
    portable(x, curve)
}

/// From Burn's own differentiable operations.
fn portable(x: Tensor<4>, curve: Curve) -> Tensor<4> {
    let gate = |x: Tensor<4>| (x + 3.0).clamp(0.0, 6.0) / 6.0;
    match curve {
        Curve::Silu => x.clone() * activation::sigmoid(x),
        Curve::Sigmoid => activation::sigmoid(x),
        Curve::Gelu => activation::gelu(x),
        Curve::HardSwish => x.clone() * gate(x),
        Curve::HardSigmoid => gate(x),
    }
}

/// The operation as Burn dispatches it.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait CurveBackend: Backend {
    fn nasty_curve(x: FloatTensor<Self>, curve: Curve) -> FloatTensor<Self>;
}

/// Elements that a thread takes at a time.
const PIECE: usize = 1 << 14;

fn forward(x: &FlexTensor, curve: Curve) -> FlexTensor {
    let (dims, x) = (flex::dims::<4>(x), flex::elements(x));
    // SAFETY: the pieces are of equal lengths on all sides, and every element of a piece is written.
    let y = unsafe {
        filled(x.len(), |y| {
            y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(y, x)| values(curve, x, y));
        })
    };
    flex::from_vec(y, dims)
}

impl CurveBackend for Flex {
    fn nasty_curve(x: FlexTensor, curve: Curve) -> FlexTensor {
        forward(&flex::contiguous(x), curve)
    }
}

impl<C: CheckpointStrategy> CurveBackend for Autodiff<Flex, C> {
    fn nasty_curve(x: FloatTensor<Self>, curve: Curve) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let x = flex::contiguous(x);
        let y = forward(&x, curve);
        match CurveBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((x, curve), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}

#[derive(Debug)]
struct CurveBackward;

impl Backward<Flex, 1> for CurveBackward {
    type State = (FlexTensor, Curve);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, curve) = ops.state;
        unary::<Flex, _>(ops.parents, ops.node, grads, |dy| {
            let dy = flex::contiguous(dy);
            let (dims, x, dy) = (flex::dims::<4>(&x), flex::elements(&x), flex::elements(&dy));
            // SAFETY: the pieces are of equal lengths on all sides, and every element of a piece is written.
            let dx = unsafe {
                filled(x.len(), |dx| {
                    dx.par_chunks_mut(PIECE)
                        .zip(x.par_chunks(PIECE).zip(dy.par_chunks(PIECE)))
                        .for_each(|(dx, (x, dy))| slopes(curve, x, dy, dx));
                })
            };
            flex::from_vec(dx, dims)
        });
    }
}

/// exp(x), within 2 units in the last place for x from −87 to 88 and clamped there: 2ⁿ·exp(r), |r| ≤ ln 2 / 2, by Taylor's
/// polynomial of degree 7.
#[inline(always)]
fn exp<M: MulAdd>(x: f32) -> f32 {
    // Adding it leaves n in the lowest bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 88.0);
    let shifted = M::mul_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = M::mul_add(-n, LN2[1], M::mul_add(-n, LN2[0], x));
    let mut sum = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = M::mul_add(sum, r, coefficient);
    }
    sum * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
}

#[inline(always)]
fn sigmoid<M: MulAdd>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<M>(-x))
}

/// Φ(x) and exp(−x² / 2): erfc by Abramowitz & Stegun's 7.1.26 (absolute error below 1.5e-7).
#[inline(always)]
fn normal<M: MulAdd>(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / M::mul_add(0.327_591_1, z, 1.0);
    let mut sum = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_8, -0.284_496_74, 0.254_829_6] {
        sum = M::mul_add(sum, t, coefficient);
    }
    let bell = exp::<M>(-z * z);
    let tail = 0.5 * sum * t * bell;
    (if x < 0.0 { tail } else { 1.0 - tail }, bell)
}

#[inline(always)]
fn map<M: MulAdd>(x: &[f32], y: &mut [MaybeUninit<f32>], f: impl Fn(f32) -> f32) {
    y.iter_mut().zip(x).for_each(|(y, x)| {
        y.write(f(*x));
    });
}

#[inline(always)]
fn values_body<M: MulAdd>(curve: Curve, x: &[f32], y: &mut [MaybeUninit<f32>]) {
    match curve {
        Curve::Silu => map::<M>(x, y, |x| x * sigmoid::<M>(x)),
        Curve::Sigmoid => map::<M>(x, y, sigmoid::<M>),
        Curve::Gelu => map::<M>(x, y, |x| x * normal::<M>(x).0),
        Curve::HardSwish => map::<M>(x, y, |x| x * ((x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0))),
        Curve::HardSigmoid => map::<M>(x, y, |x| (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)),
    }
}

per_isa! { pub(crate) fn values(curve: Curve, x: &[f32], y: &mut [MaybeUninit<f32>]) = values_body }

#[inline(always)]
fn multiply<M: MulAdd>(x: &[f32], dy: &[f32], dx: &mut [MaybeUninit<f32>], slope: impl Fn(f32) -> f32) {
    dx.iter_mut().zip(x.iter().zip(dy)).for_each(|(dx, (x, dy))| {
        dx.write(slope(*x) * dy);
    });
}

#[inline(always)]
fn slopes_body<M: MulAdd>(curve: Curve, x: &[f32], dy: &[f32], dx: &mut [MaybeUninit<f32>]) {
    const DENSITY: f32 = 0.398_942_3; // 1 / √(2π)
    match curve {
        Curve::Silu => multiply::<M>(x, dy, dx, |x| {
            let s = sigmoid::<M>(x);
            s * M::mul_add(x, 1.0 - s, 1.0)
        }),
        Curve::Sigmoid => multiply::<M>(x, dy, dx, |x| {
            let s = sigmoid::<M>(x);
            s * (1.0 - s)
        }),
        Curve::Gelu => multiply::<M>(x, dy, dx, |x| {
            let (below, bell) = normal::<M>(x);
            M::mul_add(x * DENSITY, bell, below)
        }),
        Curve::HardSwish => multiply::<M>(x, dy, dx, |x| {
            let inside = M::mul_add(x, 1.0 / 3.0, 0.5);
            if x <= -3.0 {
                0.0
            } else if x >= 3.0 {
                1.0
            } else {
                inside
            }
        }),
        Curve::HardSigmoid => {
            multiply::<M>(x, dy, dx, |x| if x > -3.0 && x < 3.0 { 1.0 / 6.0 } else { 0.0 });
        }
    }
}

per_isa! { fn slopes(curve: Curve, x: &[f32], dy: &[f32], dx: &mut [MaybeUninit<f32>]) = slopes_body }

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    /// Value and slope in f64.
    fn truth(curve: Curve, x: f64) -> [f64; 2] {
        let s = 1.0 / (1.0 + (-x).exp());
        let gate = (x + 3.0).clamp(0.0, 6.0) / 6.0;
        let inside = if x.abs() < 3.0 { 1.0 / 6.0 } else { 0.0 };
        let density = (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
        match curve {
            Curve::Silu => [x * s, s * (1.0 + x * (1.0 - s))],
            Curve::Sigmoid => [s, s * (1.0 - s)],
            Curve::Gelu => {
                let below = distribution(x);
                [x * below, below + x * density]
            }
            Curve::HardSwish => [x * gate, gate + x * inside],
            Curve::HardSigmoid => [gate, inside],
        }
    }

    /// Φ(x) = ½ + φ(x)·(x + x³/3 + x⁵/(3·5) + …), which converges everywhere.
    fn distribution(x: f64) -> f64 {
        if x.abs() > 12.0 {
            return f64::from(u8::from(x > 0.0));
        }
        let (mut term, mut sum) = (x, x);
        for i in 1..400 {
            term *= x * x / f64::from(2 * i + 1);
            sum += term;
        }
        0.5 + sum * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
    }

    #[test]
    fn values_and_slopes_are_the_formulas() {
        let device = Device::flex().autodiff();
        let mut points: Vec<f32> = (-4000..4000).map(|i| i as f32 / 317.0).collect();
        points.extend([-1e4, -100.0, -88.5, 88.5, 100.0, 1e4, 0.0]);
        for f in [Curve::Silu, Curve::Sigmoid, Curve::Gelu, Curve::HardSwish, Curve::HardSigmoid] {
            for compute in [curve, portable] {
                let data = TensorData::new(points.clone(), [1, 1, 1, points.len()]);
                let x = Tensor::<4>::from_data(data, &device).require_grad();
                let y = compute(x.clone(), f);
                let grads = y.clone().sum().backward();
                let host = |t: Tensor<4>| t.into_data().try_into_vec::<f32>().unwrap();
                let (y, dx) = (host(y), host(x.grad(&grads).unwrap()));
                for ((x, y), dx) in points.iter().zip(y).zip(dx) {
                    let [value, slope] = truth(f, f64::from(*x));
                    let near = |found: f32, expected: f64, size: f64| {
                        (f64::from(found) - expected).abs() <= 4e-7 * size.max(1.0)
                    };
                    assert!(near(y, value, f64::from(x.abs())), "{f:?} at {x}: {y}, expected {value}");
                    // At a kink either slope will do.
                    if (x.abs() - 3.0).abs() > 1e-6 || matches!(f, Curve::Silu | Curve::Sigmoid | Curve::Gelu)
                    {
                        assert!(
                            near(dx, slope, x.abs().min(10.0).into()),
                            "{f:?}' at {x}: {dx}, expected {slope}"
                        );
                    }
                }
            }
        }
    }
}
