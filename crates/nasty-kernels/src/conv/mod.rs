//! Convolution on the CPU backend: how Burn calls the kernels, and what is saved for the backward pass. `README.md` of this
//! crate follows a convolution from here to the inner loop.
#![allow(unsafe_code, reason = "the inner loops read and write through pointers")]

mod ahead;
mod bias;
mod choose;
mod compute;
pub(crate) mod depthwise;
mod finish;
mod frozen;
mod fusion;
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

pub(crate) use self::choose::{Algorithm, choose};
pub(crate) use self::compute::Computation;
pub(crate) use self::finish::{Finish, Second};
pub(crate) use self::frozen::conv2d_scale_shift;
pub(crate) use self::fusion::{Epilogue, Fusion, GradientPrologue, Prologue};
pub(crate) use self::geometry::ConvShape;
pub(crate) use self::output::Shared;
pub(crate) use self::pointwise::{Packed, Rows};
pub(crate) use self::series::Series;
pub(crate) use self::winograd::Winograd;
use crate::flex::{self, Maybe};
use crate::norm::{InputNorm, MomentSums, Norm, Normed, Seam};
use crate::{ConvOptions, Values};

/// The operation that Burn dispatches.
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

/// The training-mode batch-norms fusion a convolution.
#[derive(Clone, Debug)]
pub(crate) struct Norms {
    /// The one that is applied to x first.
    before: Option<Norm>,
    /// Shared with the one after the convolution. That one removes any bias, so the gradient of the bias is 0.
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

/// [`conv2d`], and what the batch-norm that follows needs of it.
pub(crate) fn conv2d_for_norm(
    x: Values,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
) -> (Tensor<4>, Arc<Seam>) {
    let seam = Arc::<Seam>::default();
    (between_norms(x, weight, bias, options, Some(seam.clone())), seam)
}

/// If x is a batch-norm that is not computed yet, it becomes the prologue where that is possible, and is computed before
/// otherwise.
fn between_norms(
    x: Values,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
    behind: Option<Arc<Seam>>,
) -> Tensor<4> {
    let shape = ConvShape::new(x.dims(), weight.dims(), options);
    match x {
        Values::Normed(normed) if Computation::new(shape, options.precision).choice().takes_prologue() => {
            normed.read();
            let Normed { x, gamma, beta, norm } = normed;
            let norms = Norms { before: Some(norm), behind };
            dispatch(x, weight, bias, [Some(gamma), Some(beta)], norms, options)
        }
        x => dispatch(x.compute(), weight, bias, [None, None], Norms { before: None, behind }, options),
    }
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

/// The convolution of a contiguous x and weight.
fn run(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<FlexTensor>,
    options: ConvOptions,
    fusion: Fusion<'_>,
) -> FlexTensor {
    let c = computation(x, weight, options);
    let bias = bias.map(flex::contiguous);
    let bias = bias.as_ref().map(flex::elements);
    let y = c.forward(fusion, flex::elements(x), flex::elements(weight), bias);
    flex::from_vec(y, c.shape.y())
}

/// y; its moments are left in the seam.
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
    let fusion = Fusion {
        prologue: prologue.as_ref().map(|f| f as &Prologue<'_>),
        epilogue: epilogue.as_ref().map(|f| f as &Epilogue<'_>),
        ..Fusion::default()
    };
    let y = run(x, weight, bias, options, fusion);
    if let Some((behind, sums)) = behind.zip(sums) {
        behind.leave_moments(sums.moments());
    }
    y
}

/// The batch-norm that is applied to x, if any.
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

/// What the gradients need. x and the weight are shared with the forward pass, not copied.
#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    weight: FlexTensor,
    input: Option<InputNorm>,
    behind: Option<Arc<Seam>>,
    options: ConvOptions,
}

/// Parents: x, weight, gamma and beta if x goes through a batch-norm, and bias if there is one.
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
            Some(through) if x_node.is_none() || weight_node.is_none() || !c.choice().gradients_together => {
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
                Fusion {
                    prologue: Some(&|_, x, y| norm.apply(x, y)),
                    epilogue: Some(&|at, d| sums.add(at, d, &x[at..at + d.len()])),
                    gradient,
                    ..Fusion::default()
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
                    let (dx, dw) = c.backward(Fusion { gradient, ..Fusion::default() }, x, weight, dy);
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

/// Adds y to the graph.
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
