//! One factor for each image and channel: the end of squeeze-and-excitation (Hu et al., CVPR 2018).
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

/// x `[n, h, w, c]` times factors `[n, 1, 1, c]`.
pub fn gate(x: Tensor<4>, factors: Tensor<4>) -> Tensor<4> {
    let [n, _, _, c] = x.dims();
    assert!(factors.dims() == [n, 1, 1, c], "gate: factors {:?} for x {:?}", factors.dims(), x.dims());
    if flex::is_flex(&x) {
        return Tensor::from_dispatch(<Dispatch as GateBackend>::nasty_gate(
            x.into_dispatch(),
            factors.into_dispatch(),
        ));
    }
    x * factors
}

/// The operation as Burn dispatches it.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait GateBackend: Backend {
    fn nasty_gate(x: FloatTensor<Self>, factors: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Each row of pixels of x times its image's factors.
fn multiply(x: &FlexTensor, factors: &FlexTensor) -> FlexTensor {
    let dims @ [_, h, w, c] = flex::dims::<4>(x);
    let (x, factors) = (flex::elements(x), flex::elements(factors));
    let row = (w * c).max(1);
    // SAFETY: x, and so y, is whole images of whole pixels, and every channel of a pixel is written.
    let y = unsafe {
        filled(x.len(), |y| {
            y.par_chunks_mut(row).zip(x.par_chunks(row)).enumerate().for_each(|(i, (y, x))| {
                scale(x, &factors[i / h * c..][..c], y);
            });
        })
    };
    flex::from_vec(y, dims)
}

/// Gradients of the factors: sums over each image.
fn sums(x: &FlexTensor, dy: &FlexTensor) -> FlexTensor {
    let [n, h, w, c] = flex::dims::<4>(x);
    let image = (h * w * c).max(1);
    let mut sums = vec![0.0; n * c];
    sums.par_chunks_mut(c.max(1))
        .zip(flex::elements(x).par_chunks(image).zip(flex::elements(dy).par_chunks(image)))
        .for_each(|(sums, (x, dy))| sum_products(w, x, dy, sums));
    flex::from_vec(sums, [n, 1, 1, c])
}

impl GateBackend for Flex {
    fn nasty_gate(x: FlexTensor, factors: FlexTensor) -> FlexTensor {
        multiply(&flex::contiguous(x), &flex::contiguous(factors))
    }
}

impl<C: CheckpointStrategy> GateBackend for Autodiff<Flex, C> {
    fn nasty_gate(x: FloatTensor<Self>, factors: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((x, x_node), (factors, factors_node)) = (x.into_parts(), factors.into_parts());
        let (x, factors) = (flex::contiguous(x), flex::contiguous(factors));
        let y = multiply(&x, &factors);
        match GateBackward.prepare::<C>([x_node, factors_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish([x, factors], y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}

#[derive(Debug)]
struct GateBackward;

impl Backward<Flex, 2> for GateBackward {
    type State = [FlexTensor; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = flex::contiguous(grads.consume::<Flex>(&ops.node));
        let [x, factors] = ops.state;
        let [x_node, factors_node] = ops.parents;
        if let Some(node) = factors_node {
            grads.register::<Flex>(node.id, sums(&x, &dy));
        }
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, multiply(&dy, &factors));
        }
    }
}

#[inline(always)]
fn scale_body<M: MulAdd>(x: &[f32], factors: &[f32], y: &mut [MaybeUninit<f32>]) {
    for (y, x) in y.chunks_exact_mut(factors.len()).zip(x.chunks_exact(factors.len())) {
        y.iter_mut().zip(x.iter().zip(factors)).for_each(|(y, (x, factor))| {
            y.write(x * factor);
        });
    }
}

per_isa! { fn scale(x: &[f32], factors: &[f32], y: &mut [MaybeUninit<f32>]) = scale_body }

/// Each row of pixels is summed for itself first.
#[inline(always)]
fn sum_products_body<M: MulAdd>(width: usize, x: &[f32], dy: &[f32], sums: &mut [f32]) {
    let c = sums.len();
    let mut row_sums = vec![0.0; c];
    for (x, dy) in x.chunks_exact(width * c).zip(dy.chunks_exact(width * c)) {
        row_sums.fill(0.0);
        for (x, dy) in x.chunks_exact(c).zip(dy.chunks_exact(c)) {
            row_sums
                .iter_mut()
                .zip(x.iter().zip(dy))
                .for_each(|(sum, (x, dy))| *sum = M::mul_add(*x, *dy, *sum));
        }
        sums.iter_mut().zip(&row_sums).for_each(|(sum, row)| *sum += row);
    }
}

per_isa! { fn sum_products(width: usize, x: &[f32], dy: &[f32], sums: &mut [f32]) = sum_products_body }

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Noise;
    use crate::tests::{assert_close, assert_sum, tensor};

    #[test]
    fn products_and_gradients_are_the_definitions() {
        for dims @ [n, h, w, c] in [[1, 1, 1, 1], [3, 5, 4, 7], [2, 14, 14, 96], [5, 1, 3, 33]] {
            let mut noise = Noise(c as u64);
            let (x, g, dy) = (noise.array(dims), noise.array([n, 1, 1, c]), noise.array(dims));
            let factor = |i: usize| i / (h * w * c) * c + i % c;
            let y: Vec<f64> = (0..x.data.len()).map(|i| x.data[i] * g.data[factor(i)]).collect();
            let dx: Vec<f64> = (0..x.data.len()).map(|i| dy.data[i] * g.data[factor(i)]).collect();
            let mut dg = vec![0.0; n * c];
            (0..x.data.len()).for_each(|i| dg[factor(i)] += dy.data[i] * x.data[i]);
            let (tx, tg) = (tensor(&x), tensor(&g));
            let ty = gate(tx.clone(), tg.clone());
            assert_close("y", ty.clone(), &y, 1e-6);
            let grads = (ty * tensor(&dy).detach()).sum().backward();
            assert_close("dx", tx.grad(&grads).expect("dx"), &dx, 1e-6);
            assert_sum("dg", tg.grad(&grads).expect("dg"), &dg, h * w, 1e-5);
        }
    }
}
