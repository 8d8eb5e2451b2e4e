//! Maximum, average and global pools on the CPU backend. Images are the unit of work.
#![allow(unsafe_code, reason = "gradients are not filled with zeros first")]

mod kernels;

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use rayon::prelude::*;

pub(crate) use self::kernels::{Pool, average, global, max_only};
use crate::buffers::filled;
use crate::flex;

/// The operations that Burn dispatches.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait PoolBackend: Backend {
    fn nasty_max_pool2d(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self>;
    fn nasty_avg_pool2d(x: FloatTensor<Self>, size: usize, stride: usize) -> FloatTensor<Self>;
    fn nasty_global_avg_pool(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The largest window whose pixels [`max_pool2d`] can number in one byte.
pub(crate) const MAX_WINDOW: usize = 16;

pub(crate) fn max_pool2d(x: Tensor<4>, size: usize) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as PoolBackend>::nasty_max_pool2d(x.into_dispatch(), size))
}

pub(crate) fn avg_pool2d(x: Tensor<4>, size: usize, stride: usize) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as PoolBackend>::nasty_avg_pool2d(x.into_dispatch(), size, stride))
}

pub(crate) fn global_avg_pool(x: Tensor<4>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as PoolBackend>::nasty_global_avg_pool(x.into_dispatch()))
}

/// Elements of an image, for splitting a batch; at least 1, because an empty chunk size is not allowed.
fn per_image(dims: [usize; 4]) -> usize {
    dims[1..].iter().product::<usize>().max(1)
}

fn pooled(dims: [usize; 4], pool: Pool) -> [usize; 4] {
    let [h, w] = pool.sides();
    [dims[0], h, w, dims[3]]
}

/// The maxima, and which pixel of its window each one is.
fn max_forward(x: &FlexTensor, size: usize) -> (FlexTensor, Vec<u8>) {
    let pool = Pool::new(flex::dims(x), size, size);
    let dims = pooled(flex::dims(x), pool);
    let len = dims.iter().product();
    let (mut y, mut winner) = (vec![0.0; len], vec![0; len]);
    y.par_chunks_mut(per_image(dims))
        .zip(winner.par_chunks_mut(per_image(dims)))
        .zip(flex::elements(x).par_chunks(per_image(flex::dims(x))))
        .for_each(|((y, winner), x)| kernels::max(pool, x, y, winner));
    (flex::from_vec(y, dims), winner)
}

impl PoolBackend for Flex {
    fn nasty_max_pool2d(x: FlexTensor, size: usize) -> FlexTensor {
        max_forward(&flex::contiguous(x), size).0
    }

    fn nasty_avg_pool2d(x: FlexTensor, size: usize, stride: usize) -> FlexTensor {
        let x = flex::contiguous(x);
        let pool = Pool::new(flex::dims(&x), size, stride);
        let dims = pooled(flex::dims(&x), pool);
        let mut y = vec![0.0; dims.iter().product()];
        y.par_chunks_mut(per_image(dims))
            .zip(flex::elements(&x).par_chunks(per_image(flex::dims(&x))))
            .for_each(|(y, x)| kernels::average(pool, x, y));
        flex::from_vec(y, dims)
    }

    fn nasty_global_avg_pool(x: FlexTensor) -> FlexTensor {
        let x = flex::contiguous(x);
        let [n, _, w, c] = flex::dims(&x);
        let mut y = vec![0.0; n * c];
        y.par_chunks_mut(c.max(1))
            .zip(flex::elements(&x).par_chunks(per_image(flex::dims(&x))))
            .for_each(|(y, x)| kernels::global(w, x, y));
        flex::from_vec(y, [n, c])
    }
}

/// The input's shape, and what else the gradient needs.
#[derive(Clone, Debug)]
enum PoolBackward {
    Max { x: [usize; 4], size: usize, winner: Arc<Vec<u8>> },
    Average { x: [usize; 4], size: usize, stride: usize },
    Global { x: [usize; 4] },
}

impl PoolBackward {
    fn gradient(&self, dy: FlexTensor) -> FlexTensor {
        let dy = flex::contiguous(dy);
        let (Self::Max { x, .. } | Self::Average { x, .. } | Self::Global { x }) = *self;
        let of_image = (flex::elements(&dy).len() / x[0].max(1)).max(1);
        let dy = flex::elements(&dy).par_chunks(of_image);
        let len = x.iter().product();
        let dx = match self {
            Self::Max { size, winner, .. } => {
                let pool = Pool::new(x, *size, *size);
                let winner = winner.par_chunks((winner.len() / x[0].max(1)).max(1));
                // SAFETY: every image has its dy and winners, and the kernel writes every pixel of the image.
                unsafe {
                    filled(len, |dx| {
                        dx.par_chunks_mut(per_image(x))
                            .zip(dy.zip(winner))
                            .for_each(|(dx, (dy, winner))| kernels::max_backward(pool, dy, winner, dx));
                    })
                }
            }
            Self::Average { size, stride, .. } => {
                let pool = Pool::new(x, *size, *stride);
                let mut dx = vec![0.0; len];
                dx.par_chunks_mut(per_image(x))
                    .zip(dy)
                    .for_each(|(dx, dy)| kernels::average_backward(pool, dy, dx));
                dx
            }
            Self::Global { .. } => {
                let share = 1.0 / (x[1] * x[2]) as f32;
                // SAFETY: every image has its dy, whose channels are those of a pixel, and an image is whole pixels.
                unsafe {
                    filled(len, |dx| {
                        dx.par_chunks_mut(per_image(x)).zip(dy).for_each(|(dx, dy)| {
                            for pixel in dx.chunks_exact_mut(x[3]) {
                                pixel.iter_mut().zip(dy).for_each(|(dx, dy)| {
                                    dx.write(dy * share);
                                });
                            }
                        });
                    })
                }
            }
        };
        flex::from_vec(dx, x)
    }
}

#[derive(Debug)]
struct Pooling;

impl Backward<Flex, 1> for Pooling {
    type State = PoolBackward;

    fn backward(self, ops: Ops<PoolBackward, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<Flex, _>(ops.parents, ops.node, grads, |dy| ops.state.gradient(dy));
    }
}

impl<C: CheckpointStrategy> PoolBackend for Autodiff<Flex, C> {
    fn nasty_max_pool2d(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let x = flex::contiguous(x);
        let (y, winner) = max_forward(&x, size);
        match Pooling.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let state = PoolBackward::Max { x: flex::dims(&x), size, winner: Arc::new(winner) };
                prepared.finish(state, y)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn nasty_avg_pool2d(x: FloatTensor<Self>, size: usize, stride: usize) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let state = PoolBackward::Average { x: flex::dims(&x), size, stride };
        let y = Flex::nasty_avg_pool2d(x, size, stride);
        match Pooling.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(state, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn nasty_global_avg_pool(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let state = PoolBackward::Global { x: flex::dims(&x) };
        let y = Flex::nasty_global_avg_pool(x);
        match Pooling.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(state, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
