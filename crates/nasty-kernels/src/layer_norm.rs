//! Layer normalisation over the channels of every pixel (Ba et al., 2016; ConvNeXt's `LayerNorm2d`).
#![allow(unsafe_code, reason = "results are not filled with zeros first")]

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use rayon::prelude::*;
use std::mem::MaybeUninit;

use crate::buffers::filled;
use crate::flex;
use crate::isa::{MulAdd, per_isa};

/// `gamma (x - mean) / sqrt(variance + epsilon) + beta`, mean and biased variance over the channels of each pixel:
/// x `[n, h, w, c]`, gamma and beta `[c]`.
pub fn layer_norm(x: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64) -> Tensor<4> {
    crate::check_channels("layer_norm", x.dims(), [&gamma, &beta], None);
    if flex::is_flex(&x) {
        return Tensor::from_dispatch(<Dispatch as LayerNormBackend>::nasty_layer_norm(
            x.into_dispatch(),
            gamma.into_dispatch(),
            beta.into_dispatch(),
            epsilon,
        ));
    }
    let c = x.dims()[3];
    let centred = x.clone() - x.mean_dim(3);
    let variance = (centred.clone() * centred.clone()).mean_dim(3);
    let y = centred / (variance + epsilon).sqrt();
    y * gamma.reshape([1, 1, 1, c]) + beta.reshape([1, 1, 1, c])
}

/// The operation as Burn dispatches it.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait LayerNormBackend: Backend {
    fn nasty_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;
}

/// Pixels that a thread takes at a time; fixed, so that sums over them do not depend on the number of threads.
const PIXELS: usize = 128;

fn forward(x: &FlexTensor, gamma: &FlexTensor, beta: &FlexTensor, epsilon: f64) -> FlexTensor {
    let dims = flex::dims::<4>(x);
    let (x, gamma, beta) = (flex::elements(x), flex::elements(gamma), flex::elements(beta));
    let piece = PIXELS * dims[3].max(1);
    // SAFETY: a piece is whole pixels, on all sides the same, and every channel of a pixel is written.
    let y = unsafe {
        filled(x.len(), |y| {
            y.par_chunks_mut(piece)
                .zip(x.par_chunks(piece))
                .for_each(|(y, x)| normalise(epsilon as f32, x, gamma, beta, y));
        })
    };
    flex::from_vec(y, dims)
}

impl LayerNormBackend for Flex {
    fn nasty_layer_norm(x: FlexTensor, gamma: FlexTensor, beta: FlexTensor, epsilon: f64) -> FlexTensor {
        forward(&flex::contiguous(x), &flex::contiguous(gamma), &flex::contiguous(beta), epsilon)
    }
}

impl<C: CheckpointStrategy> LayerNormBackend for Autodiff<Flex, C> {
    fn nasty_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (gamma, gamma_node), (beta, beta_node)) =
            (x.into_parts(), gamma.into_parts(), beta.into_parts());
        let (x, gamma) = (flex::contiguous(x), flex::contiguous(gamma));
        let y = forward(&x, &gamma, &flex::contiguous(beta), epsilon);
        match LayerNormBackward.prepare::<C>([x_node, gamma_node, beta_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((x, gamma, epsilon), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}

#[derive(Debug)]
struct LayerNormBackward;

impl Backward<Flex, 3> for LayerNormBackward {
    /// x, gamma, epsilon.
    type State = (FlexTensor, FlexTensor, f64);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = flex::contiguous(grads.consume::<Flex>(&ops.node));
        let (x, gamma, epsilon) = ops.state;
        let dims @ [n, h, w, c] = flex::dims::<4>(&x);
        let (x, gamma, dy) = (flex::elements(&x), flex::elements(&gamma), flex::elements(&dy));
        let piece = PIXELS * c.max(1);
        // Each piece's sums of dgamma and dbeta.
        let mut parts = vec![0.0; (n * h * w).div_ceil(PIXELS) * 2 * c];
        // SAFETY: a piece is whole pixels, on all sides the same, and every channel of a pixel is written.
        let dx = unsafe {
            filled(x.len(), |dx| {
                dx.par_chunks_mut(piece)
                    .zip(x.par_chunks(piece).zip(dy.par_chunks(piece)))
                    .zip(parts.par_chunks_mut((2 * c).max(1)))
                    .for_each(|((dx, (x, dy)), part)| backward(epsilon as f32, x, gamma, dy, dx, part));
            })
        };
        let sum = |at: usize| -> Vec<f32> {
            let total =
                |k: usize| parts.chunks_exact(2 * c).map(|part| f64::from(part[at + k])).sum::<f64>() as f32;
            (0..c).map(total).collect()
        };
        let [x_node, gamma_node, beta_node] = ops.parents;
        for (node, at) in [(gamma_node, 0), (beta_node, c)] {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, flex::vector(sum(at)));
            }
        }
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, flex::from_vec(dx, dims));
        }
    }
}

/// Sums that are taken side by side, so that the compiler can use vectors.
const LANES: usize = 16;

/// Σ f(i) for i below `len`.
#[inline(always)]
fn sum(len: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let whole = len - len % LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += f(start + lane);
        }
    }
    lanes.iter().sum::<f32>() + (whole..len).map(f).sum::<f32>()
}

/// Mean and 1 / √(variance + ε) of a pixel.
#[inline(always)]
fn moments(epsilon: f32, x: &[f32]) -> [f32; 2] {
    let share = 1.0 / x.len() as f32;
    let mean = sum(x.len(), |i| x[i]) * share;
    let variance = sum(x.len(), |i| (x[i] - mean) * (x[i] - mean)) * share;
    [mean, 1.0 / (variance + epsilon).sqrt()]
}

#[inline(always)]
fn normalise_body<M: MulAdd>(
    epsilon: f32,
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    y: &mut [MaybeUninit<f32>],
) {
    let c = gamma.len();
    for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
        let [mean, precision] = moments(epsilon, x);
        for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
            y.write(M::mul_add((x - mean) * precision, *gamma, *beta));
        }
    }
}

per_isa! {
    pub(crate) fn normalise(epsilon: f32, x: &[f32], gamma: &[f32], beta: &[f32], y: &mut [MaybeUninit<f32>]) = normalise_body
}

/// dx, and dgamma and dbeta added to `part`.
#[inline(always)]
fn backward_body<M: MulAdd>(
    epsilon: f32,
    x: &[f32],
    gamma: &[f32],
    dy: &[f32],
    dx: &mut [MaybeUninit<f32>],
    part: &mut [f32],
) {
    let c = gamma.len();
    let (dgamma, dbeta) = part.split_at_mut(c);
    let share = 1.0 / c as f32;
    let mut normal = vec![0.0; c];
    for ((dx, x), dy) in dx.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(dy.chunks_exact(c)) {
        let [mean, precision] = moments(epsilon, x);
        normal.iter_mut().zip(x).for_each(|(normal, x)| *normal = (x - mean) * precision);
        let (normal, dy, gamma) = (&normal[..c], &dy[..c], &gamma[..c]);
        let level = sum(c, |i| dy[i] * gamma[i]) * share;
        let along = sum(c, |i| dy[i] * gamma[i] * normal[i]) * share;
        for (i, dx) in dx.iter_mut().enumerate() {
            dx.write(precision * (M::mul_add(dy[i], gamma[i], -level) - normal[i] * along));
        }
        for i in 0..c {
            dgamma[i] = M::mul_add(dy[i], normal[i], dgamma[i]);
            dbeta[i] += dy[i];
        }
    }
}

per_isa! {
    fn backward(epsilon: f32, x: &[f32], gamma: &[f32], dy: &[f32], dx: &mut [MaybeUninit<f32>], part: &mut [f32])
        = backward_body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Noise;
    use crate::tests::{assert_close, assert_sum, tensor, vector};

    #[test]
    fn values_and_gradients_are_the_definitions() {
        const EPSILON: f64 = 1e-6;
        for dims @ [n, h, w, c] in [[1, 1, 1, 2], [3, 5, 4, 7], [2, 14, 13, 96], [1, 3, 1, 133]] {
            let mut noise = Noise(c as u64);
            let (x, dy) = (noise.array(dims), noise.array(dims));
            let (gamma, beta) = (noise.vector(c), noise.vector(c));
            let (mut y, mut dx) = (Vec::new(), Vec::new());
            let (mut dgamma, mut dbeta) = (vec![0.0; c], vec![0.0; c]);
            for (x, dy) in x.data.chunks(c).zip(dy.data.chunks(c)) {
                let mean_of = |v: &dyn Fn(usize) -> f64| (0..c).map(v).sum::<f64>() / c as f64;
                let mean = mean_of(&|i| x[i]);
                let deviation = (mean_of(&|i| (x[i] - mean).powi(2)) + EPSILON).sqrt();
                let normal = |i: usize| (x[i] - mean) / deviation;
                let level = mean_of(&|i| dy[i] * gamma[i]);
                let along = mean_of(&|i| dy[i] * gamma[i] * normal(i));
                for i in 0..c {
                    y.push(gamma[i] * normal(i) + beta[i]);
                    dx.push((dy[i] * gamma[i] - level - normal(i) * along) / deviation);
                    dgamma[i] += dy[i] * normal(i);
                    dbeta[i] += dy[i];
                }
            }
            let (tx, tg, tb) = (tensor(&x), vector(&gamma), vector(&beta));
            let ty = layer_norm(tx.clone(), tg.clone(), tb.clone(), EPSILON);
            assert_close("y", ty.clone(), &y, 1e-5);
            let grads = (ty * tensor(&dy).detach()).sum().backward();
            assert_close("dx", tx.grad(&grads).expect("dx"), &dx, 1e-4);
            assert_sum("dgamma", tg.grad(&grads).expect("dgamma"), &dgamma, n * h * w, 1e-5);
            assert_sum("dbeta", tb.grad(&grads).expect("dbeta"), &dbeta, n * h * w, 1e-5);
        }
    }
}
