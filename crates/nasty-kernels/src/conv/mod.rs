//! Convolution on the CPU backend: how Burn reaches the kernels, and what backward remembers.
#![allow(unsafe_code, reason = "the inner loops read and write through pointers")]

mod bias;
mod compute;
mod depthwise;
mod gather;
mod geometry;
mod inner;
mod output;
mod pack;
mod pointwise;
#[cfg(test)]
pub(crate) mod tests;
mod weight;
mod winograd;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

pub(crate) use self::compute::{Computation, Epilogue};
pub(crate) use self::geometry::ConvShape;
use crate::ConvOptions;
use crate::flex::{self, Maybe};
use crate::simd::Path;

/// The operation as Burn dispatches it.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait ConvBackend: Backend {
    fn nasty_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Maybe<Self>,
        options: ConvOptions,
    ) -> FloatTensor<Self>;
}

pub(crate) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as ConvBackend>::nasty_conv2d(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into(),
        options,
    ))
}

fn computation(x: &FlexTensor, weight: &FlexTensor, options: ConvOptions) -> Computation {
    let shape = ConvShape::new(flex::dims(x), flex::dims(weight), options);
    Computation { shape, path: Path::chosen(), precision: options.precision }
}

/// y without a graph, each part of it changed by `epilogue` while it is in the cache.
pub(crate) fn forward(
    x: FlexTensor,
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    options: ConvOptions,
    epilogue: Option<&Epilogue<'_>>,
) -> FlexTensor {
    let (x, weight, bias) = (flex::contiguous(x), flex::contiguous(weight), bias.map(flex::contiguous));
    let c = computation(&x, &weight, options);
    let bias = bias.as_ref().map(flex::elements);
    let y = c.forward_then(flex::elements(&x), flex::elements(&weight), bias, epilogue);
    flex::from_vec(y, c.shape.y())
}

impl ConvBackend for Flex {
    fn nasty_conv2d(
        x: FlexTensor,
        weight: FlexTensor,
        bias: Maybe<Self>,
        options: ConvOptions,
    ) -> FlexTensor {
        forward(x, weight, bias.into_option(), options, None)
    }
}

/// What the gradients need: the input and the weight, shared with the forward pass, not copied.
#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    weight: FlexTensor,
    options: ConvOptions,
}

#[derive(Debug)]
struct ConvBackward;

impl ConvBackward {
    /// Gradients of the parents that ask for one: x, weight, and bias if there is one.
    fn gradients<const N: usize>(ops: Ops<Saved, N>, grads: &mut Gradients) {
        let dy = flex::contiguous(grads.consume::<Flex>(&ops.node));
        let Saved { x, weight, options } = ops.state;
        let c = computation(&x, &weight, options);
        let (x, weight, dy) = (flex::elements(&x), flex::elements(&weight), flex::elements(&dy));
        for (i, parent) in ops.parents.iter().enumerate() {
            let Some(parent) = parent else { continue };
            let gradient = match i {
                0 => flex::from_vec(c.backward_input(weight, dy), c.shape.x()),
                1 => flex::from_vec(c.backward_weight(x, dy), c.shape.weight()),
                _ => flex::from_vec(c.backward_bias(dy), [c.shape.cout]),
            };
            grads.register::<Flex>(parent.id, gradient);
        }
    }
}

impl<const N: usize> Backward<Flex, N> for ConvBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        Self::gradients(ops, grads);
    }
}

impl<C: CheckpointStrategy> ConvBackend for Autodiff<Flex, C> {
    fn nasty_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Maybe<Self>,
        options: ConvOptions,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (x, weight) = (flex::contiguous(x), flex::contiguous(weight));
        let saved = || Saved { x: x.clone(), weight: weight.clone(), options };
        let run = |bias| Flex::nasty_conv2d(x.clone(), weight.clone(), bias, options);
        match bias {
            Maybe::Absent => {
                match ConvBackward.prepare::<C>([x_node, weight_node]).compute_bound().stateful() {
                    OpsKind::Tracked(prepared) => prepared.finish(saved(), run(Maybe::Absent)),
                    OpsKind::UnTracked(prepared) => prepared.finish(run(Maybe::Absent)),
                }
            }
            Maybe::Given(bias) => {
                let (bias, bias_node) = bias.into_parts();
                match ConvBackward.prepare::<C>([x_node, weight_node, bias_node]).compute_bound().stateful() {
                    OpsKind::Tracked(prepared) => prepared.finish(saved(), run(Maybe::Given(bias))),
                    OpsKind::UnTracked(prepared) => prepared.finish(run(Maybe::Given(bias))),
                }
            }
        }
    }
}
