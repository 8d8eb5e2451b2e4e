//! Convolution on the CPU backend: how Burn reaches the kernels, and what backward remembers.
#![allow(unsafe_code, reason = "the inner loops read and write through pointers")]

mod ahead;
mod bias;
mod compute;
mod depthwise;
mod gather;
mod geometry;
mod inner;
mod output;
mod pack;
mod pointwise;
mod series;
#[cfg(test)]
pub(crate) mod tests;
mod weight;
mod winograd;

use std::mem::MaybeUninit;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

pub(crate) use self::compute::{Around, Computation, Epilogue, GradientPrologue, Prologue};
pub(crate) use self::geometry::ConvShape;
pub(crate) use self::series::{Link, Series};
use crate::flex::{self, Maybe};
use crate::norm::{InputNorm, MomentSums, Norm, Normed, Seam};
use crate::{ConvOptions, Values};

/// The operation as Burn dispatches it.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait ConvBackend: Backend {
    /// Gamma and beta are those of [`Norms::before`].
    fn nasty_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Maybe<Self>,
        #[extension_type] gamma: Maybe<Self>,
        #[extension_type] beta: Maybe<Self>,
        norms: Norms,
        options: ConvOptions,
    ) -> FloatTensor<Self>;
}

/// The training-mode batch-norms around a convolution.
#[derive(Clone, Debug)]
pub(crate) struct Norms {
    /// What x goes through first.
    before: Option<Norm>,
    /// With the one behind, which takes any bias away again: its gradient is 0.
    behind: Option<Arc<Seam>>,
}

pub(crate) fn conv2d(
    x: Values,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
) -> Tensor<4> {
    between_norms(x, weight, bias, options, None)
}

/// [`conv2d`] and what it leaves the batch-norm that follows.
pub(crate) fn conv2d_for_norm(
    x: Values,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
) -> (Tensor<4>, Arc<Seam>) {
    let seam = Arc::<Seam>::default();
    (between_norms(x, weight, bias, options, Some(seam.clone())), seam)
}

/// A batch-norm that x is still to go through is computed on the way where that can be done, else before.
fn between_norms(
    x: Values,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
    behind: Option<Arc<Seam>>,
) -> Tensor<4> {
    let shape = ConvShape::new(x.dims(), weight.dims(), options);
    match x {
        Values::Normed(normed) if takes_prologue(shape, options) => {
            normed.read();
            let Normed { x, gamma, beta, norm } = normed;
            let norms = Norms { before: Some(norm), behind };
            dispatch(x, weight, bias, [Some(gamma), Some(beta)], norms, options)
        }
        x => dispatch(x.compute(), weight, bias, [None, None], Norms { before: None, behind }, options),
    }
}

/// Whether [`Around::prologue`] can be computed on the way.
pub(crate) fn takes_prologue(shape: ConvShape, options: ConvOptions) -> bool {
    Computation::new(shape, options.precision).takes_prologue()
}

fn dispatch(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    [gamma, beta]: [Option<Tensor<1>>; 2],
    norms: Norms,
    options: ConvOptions,
) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as ConvBackend>::nasty_conv2d(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into(),
        gamma.into(),
        beta.into(),
        norms,
        options,
    ))
}

fn computation(x: &FlexTensor, weight: &FlexTensor, options: ConvOptions) -> Computation {
    Computation::new(ConvShape::new(flex::dims(x), flex::dims(weight), options), options.precision)
}

/// x and the weight are contiguous.
fn run(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<FlexTensor>,
    options: ConvOptions,
    around: Around<'_>,
) -> FlexTensor {
    let c = computation(x, weight, options);
    let bias = bias.map(flex::contiguous);
    let bias = bias.as_ref().map(flex::elements);
    let y = c.forward(around, flex::elements(x), flex::elements(weight), bias);
    flex::from_vec(y, c.shape.y())
}

/// y, and its moments left where they are wanted.
fn run_between_norms(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<FlexTensor>,
    input: Option<&InputNorm>,
    behind: Option<&Seam>,
    options: ConvOptions,
) -> FlexTensor {
    let prologue = input.map(|norm| move |_, x: &[f32], y: &mut [MaybeUninit<f32>]| norm.apply(x, y));
    let sums = behind.map(|_| MomentSums::new(flex::dims::<4>(weight)[0]));
    let epilogue = sums.as_ref().map(|sums| move |at: usize, y: &mut [f32]| sums.add(at, y));
    let around = Around {
        prologue: prologue.as_ref().map(|f| f as &Prologue<'_>),
        epilogue: epilogue.as_ref().map(|f| f as &Epilogue<'_>),
        ..Around::default()
    };
    let y = run(x, weight, bias, options, around);
    if let Some((behind, sums)) = behind.zip(sums) {
        behind.leave_moments(sums.moments());
    }
    y
}

/// The norm that x goes through, if any.
fn input_norm(
    norm: Option<Norm>,
    gamma: Option<&FlexTensor>,
    beta: Option<&FlexTensor>,
) -> Option<InputNorm> {
    Some(InputNorm::new(&norm?, gamma?, beta?))
}

impl ConvBackend for Flex {
    fn nasty_conv2d(
        x: FlexTensor,
        weight: FlexTensor,
        bias: Maybe<Self>,
        gamma: Maybe<Self>,
        beta: Maybe<Self>,
        norms: Norms,
        options: ConvOptions,
    ) -> FlexTensor {
        let [gamma, beta] = [gamma, beta].map(Maybe::into_option);
        let input = input_norm(norms.before, gamma.as_ref(), beta.as_ref());
        let (x, weight) = (flex::contiguous(x), flex::contiguous(weight));
        run_between_norms(&x, &weight, bias.into_option(), input.as_ref(), norms.behind.as_deref(), options)
    }
}

/// What the gradients need: the input and the weight, shared with the forward pass, not copied.
#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    weight: FlexTensor,
    input: Option<InputNorm>,
    behind: Option<Arc<Seam>>,
    options: ConvOptions,
}

/// Parents: x, weight, gamma and beta if x goes through a norm, and bias if there is one.
#[derive(Debug)]
struct ConvBackward;

impl<const N: usize> Backward<Flex, N> for ConvBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = flex::contiguous(grads.consume::<Flex>(&ops.node));
        let Saved { x: x_tensor, weight, input, behind, options } = ops.state;
        let c = computation(&x_tensor, &weight, options);
        let mut parents = ops.parents.into_iter().map(|parent| parent.map(|node| node.id));
        let [x_node, weight_node] = [(); 2].map(|()| parents.next().flatten());
        let mut register = |node, gradient: FlexTensor| {
            if let Some(node) = node {
                grads.register::<Flex>(node, gradient);
            }
        };

        let (dy, through) = match behind.as_ref().and_then(|seam| seam.through()) {
            Some(through) if x_node.is_none() || weight_node.is_none() || !c.takes_gradient() => {
                (through.whole(dy), None)
            }
            through => (dy, through),
        };
        let compute = through
            .as_ref()
            .map(|through| move |at, d: &[f32], to: &mut [MaybeUninit<f32>]| through.some(at, d, to));
        let gradient = compute
            .as_ref()
            .zip(through.as_ref())
            .map(|(compute, through)| GradientPrologue { compute, beside: through.reads() });
        let (x, weight, dy) = (flex::elements(&x_tensor), flex::elements(&weight), flex::elements(&dy));

        if let Some(norm) = input {
            let sums = norm.sums();
            let (dx, dw) = c.backward(
                Around {
                    prologue: Some(&|_, x, y| norm.apply(x, y)),
                    epilogue: Some(&|at, d| sums.add(at, d, &x[at..at + d.len()])),
                    gradient,
                    ..Around::default()
                },
                x,
                weight,
                dy,
            );
            let (dx, gradients) = norm.back(flex::from_vec(dx, c.shape.x()), &x_tensor, sums);
            register(x_node, dx);
            register(weight_node, flex::from_vec(dw, c.shape.weight()));
            for gradient in gradients {
                register(parents.next().flatten(), flex::vector(gradient));
            }
        } else {
            let (dx, dw) = match (&x_node, &weight_node) {
                (Some(_), Some(_)) => {
                    let (dx, dw) = c.backward(Around { gradient, ..Around::default() }, x, weight, dy);
                    (Some(dx), Some(dw))
                }
                (x_node, weight_node) => (
                    x_node.as_ref().map(|_| c.backward_input(None, weight, dy)),
                    weight_node.as_ref().map(|_| c.backward_weight(x, dy)),
                ),
            };
            if let Some(dx) = dx {
                register(x_node, flex::from_vec(dx, c.shape.x()));
            }
            if let Some(dw) = dw {
                register(weight_node, flex::from_vec(dw, c.shape.weight()));
            }
        }
        if let Some(Some(bias)) = parents.next() {
            let db = if behind.is_some() { vec![0.0; c.shape.cout] } else { c.backward_bias(dy) };
            register(Some(bias), flex::vector(db));
        }
    }
}

impl<C: CheckpointStrategy> ConvBackend for Autodiff<Flex, C> {
    fn nasty_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Maybe<Self>,
        gamma: Maybe<Self>,
        beta: Maybe<Self>,
        norms: Norms,
        options: ConvOptions,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let [bias, gamma, beta] =
            [bias, gamma, beta].map(|tensor| tensor.into_option().map(FloatTensor::<Self>::into_parts));
        let input = input_norm(
            norms.before,
            gamma.as_ref().map(|(tensor, _)| tensor),
            beta.as_ref().map(|(tensor, _)| tensor),
        );
        let (bias, bias_node) = bias.unzip();
        let (x, weight) = (flex::contiguous(x), flex::contiguous(weight));
        let y = run_between_norms(&x, &weight, bias, input.as_ref(), norms.behind.as_deref(), options);
        let saved = Saved { x, weight, input, behind: norms.behind, options };
        match (gamma.zip(beta), bias_node) {
            (None, None) => enter::<C, 2>([x_node, weight_node], saved, y),
            (None, Some(bias)) => enter::<C, 3>([x_node, weight_node, bias], saved, y),
            (Some(((_, gamma), (_, beta))), None) => {
                enter::<C, 4>([x_node, weight_node, gamma, beta], saved, y)
            }
            (Some(((_, gamma), (_, beta))), Some(bias)) => {
                enter::<C, 5>([x_node, weight_node, gamma, beta, bias], saved, y)
            }
        }
    }
}

/// y as a node of the graph.
fn enter<C: CheckpointStrategy, const N: usize>(
    parents: [NodeGuard; N],
    saved: Saved,
    y: FlexTensor,
) -> FloatTensor<Autodiff<Flex, C>> {
    match ConvBackward.prepare::<C>(parents).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(saved, y),
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    }
}
