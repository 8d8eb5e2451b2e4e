//! Operations with two results on the CPU backend.
//!
//! Operations of Burn have one result. Otherwise autodiff would sum the gradients of two branches on a single thread, and those
//! of two halves as two tensors of the full size. So the operation is added to the graph with a placeholder as its result,
//! followed by one operation for each real result. The results are passed on in [`TwoResults`], and so are their gradients in
//! the backward pass, until the first operation has both.

use std::sync::{Arc, Mutex};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::buffers;
use crate::channels;
use crate::flex::{self, Maybe};
use crate::isa::per_isa;
use crate::lock::lock;

/// What the two results are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Split {
    /// Both are x.
    Fork,
    /// The halves of x's channels.
    Halves,
    /// The halves of the interleaved channels of x and another tensor.
    Interleave,
}

/// Both results, or their gradients; `None` where one is not there yet, or has been taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct TwoResults(Arc<Mutex<[Option<FlexTensor>; 2]>>);

/// The operations that Burn dispatches.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait PairBackend: Backend {
    /// Puts both results into `pair`, and returns the placeholder.
    fn nasty_pair(
        x: FloatTensor<Self>,
        #[extension_type] other: Maybe<Self>,
        split: Split,
        pair: TwoResults,
    ) -> FloatTensor<Self>;

    /// Takes one of the results.
    fn nasty_result(placeholder: FloatTensor<Self>, which: usize, pair: TwoResults) -> FloatTensor<Self>;
}

pub(crate) fn fork(x: Tensor<4>) -> [Tensor<4>; 2] {
    results(x, None, Split::Fork)
}

pub(crate) fn split_channels(x: Tensor<4>) -> [Tensor<4>; 2] {
    results(x, None, Split::Halves)
}

pub(crate) fn interleave_halves(a: Tensor<4>, b: Tensor<4>) -> [Tensor<4>; 2] {
    results(a, Some(b), Split::Interleave)
}

fn results(x: Tensor<4>, other: Option<Tensor<4>>, split: Split) -> [Tensor<4>; 2] {
    let pair = TwoResults::default();
    let placeholder =
        <Dispatch as PairBackend>::nasty_pair(x.into_dispatch(), other.into(), split, pair.clone());
    [0, 1].map(|which| {
        let placeholder = placeholder.clone();
        Tensor::from_dispatch(<Dispatch as PairBackend>::nasty_result(placeholder, which, pair.clone()))
    })
}

fn placeholder() -> FlexTensor {
    flex::from_vec(vec![0.0], [1; 4])
}

impl PairBackend for Flex {
    fn nasty_pair(x: FlexTensor, other: Maybe<Self>, split: Split, pair: TwoResults) -> FlexTensor {
        let results = match other.into_option() {
            Some(other) => channels::interleaved_halves(x, other),
            None if split == Split::Halves => channels::halves(x),
            None => [x.clone(), x],
        };
        *lock(&pair.0) = results.map(Some);
        placeholder()
    }

    fn nasty_result(_: FlexTensor, which: usize, pair: TwoResults) -> FlexTensor {
        lock(&pair.0)[which].take().expect("a pair's results are taken once")
    }
}

#[derive(Debug)]
struct PairBackward;

impl<const N: usize> Backward<Flex, N> for PairBackward {
    /// The state ends with the shape of x.
    type State = (Split, TwoResults, [usize; 4]);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        grads.consume::<Flex>(&ops.node);
        let (split, pair, dims) = ops.state;
        let gradients = std::mem::take(&mut *lock(&pair.0));
        let gradients = match (split, gradients) {
            (Split::Fork, [Some(a), Some(b)]) => vec![add(a, b)],
            (Split::Fork, [a, b]) => a.or(b).into_iter().collect(),
            (Split::Halves | Split::Interleave, parts) => {
                // A result that was not used has no gradient.
                let [n, h, w, c] = dims;
                let c = if split == Split::Halves { c / 2 } else { c };
                let [a, b] = parts.map(|part| {
                    part.unwrap_or_else(|| flex::from_vec(vec![0.0; n * h * w * c], [n, h, w, c]))
                });
                if split == Split::Halves { vec![channels::join(a, b)] } else { channels::parts(a, b).into() }
            }
        };
        for (parent, gradient) in ops.parents.iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// Puts the gradient of one of the results into the pair.
#[derive(Debug)]
struct ResultBackward;

impl Backward<Flex, 1> for ResultBackward {
    type State = (usize, TwoResults);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (which, pair) = ops.state;
        lock(&pair.0)[which] = Some(flex::contiguous(grads.consume::<Flex>(&ops.node)));
        if let [Some(parent)] = &ops.parents {
            grads.register::<Flex>(parent.id, placeholder());
        }
    }
}

/// Elements that a task adds.
const BLOCK: usize = 32 << 10;

/// The sum of two gradients, in place of one of them if nothing else needs that one.
fn add(a: FlexTensor, b: FlexTensor) -> FlexTensor {
    let (mut to, from) = if buffers::is_ours(&a) { (a, b) } else { (b, a) };
    let tasks = buffers::elements_mut(&mut to).par_chunks_mut(BLOCK);
    tasks.zip(flex::elements(&from).par_chunks(BLOCK)).for_each(|(to, from)| add_block(to, from));
    to
}

#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "per_isa! gives every body its instruction set")]
fn add_body<M>(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

per_isa! { fn add_block(to: &mut [f32], from: &[f32]) = add_body }

impl<C: CheckpointStrategy> PairBackend for Autodiff<Flex, C> {
    fn nasty_pair(
        x: FloatTensor<Self>,
        other: Maybe<Self>,
        split: Split,
        pair: TwoResults,
    ) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let (other, other_node) = other.into_option().map(FloatTensor::<Self>::into_parts).unzip();
        let dims = flex::dims(&x);
        let other = other.map_or(Maybe::Absent, Maybe::Given);
        let y = Flex::nasty_pair(x, other, split, pair.clone());
        let state = (split, pair, dims);
        match other_node {
            None => match PairBackward.prepare::<C>([node]).compute_bound().stateful() {
                OpsKind::Tracked(prepared) => prepared.finish(state, y),
                OpsKind::UnTracked(prepared) => prepared.finish(y),
            },
            Some(other) => match PairBackward.prepare::<C>([node, other]).compute_bound().stateful() {
                OpsKind::Tracked(prepared) => prepared.finish(state, y),
                OpsKind::UnTracked(prepared) => prepared.finish(y),
            },
        }
    }

    fn nasty_result(placeholder: FloatTensor<Self>, which: usize, pair: TwoResults) -> FloatTensor<Self> {
        let (placeholder, node) = placeholder.into_parts();
        let y = Flex::nasty_result(placeholder, which, pair.clone());
        match ResultBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((which, pair), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
