//! Two ways out of one tensor on the CPU backend: to all of it twice, or to either half of its channels. Burn itself would
//! add the gradients that come back by one thread, those of halves as tensors of the whole size.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
use crate::channels::Move;
use crate::flex;
use crate::isa::per_isa;

/// What a branch sees of x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    FirstHalf,
    SecondHalf,
}

/// Whether the gradient of one of the branches is there already.
type Met = Arc<AtomicBool>;

/// The operation as Burn dispatches it.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait BranchBackend: Backend {
    fn nasty_branch(x: FloatTensor<Self>, part: Part, met: Met) -> FloatTensor<Self>;
}

/// Both branches.
pub(crate) fn branches(x: &Tensor<4>, parts: [Part; 2]) -> [Tensor<4>; 2] {
    let met = Met::default();
    parts.map(|part| {
        let x = x.clone().into_dispatch();
        Tensor::from_dispatch(<Dispatch as BranchBackend>::nasty_branch(x, part, met.clone()))
    })
}

impl BranchBackend for Flex {
    fn nasty_branch(x: FlexTensor, part: Part, _: Met) -> FlexTensor {
        let length = flex::dims::<4>(&x)[3] / 2;
        match part {
            Part::All => x,
            Part::FirstHalf => Move::Take { start: 0, length }.run(x),
            Part::SecondHalf => Move::Take { start: length, length }.run(x),
        }
    }
}

#[derive(Debug)]
struct BranchBackward;

impl Backward<Flex, 1> for BranchBackward {
    type State = (Part, Met);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mine = flex::contiguous(grads.consume::<Flex>(&ops.node));
        let (part, met) = ops.state;
        let [Some(x)] = &ops.parents else { return };
        // A leaf's gradient cannot be taken out again. Else what is there is the other branch's, or more: x's own turn
        // comes after all that read it.
        let both = if x.order > 0 && met.swap(true, Ordering::Relaxed) {
            add(flex::contiguous(grads.consume::<Flex>(x)), mine, part)
        } else {
            match part {
                Part::All => mine,
                Part::FirstHalf => Move::Pad { before: 0, behind: channels(&mine) }.run(mine),
                Part::SecondHalf => Move::Pad { before: channels(&mine), behind: 0 }.run(mine),
            }
        };
        grads.register::<Flex>(x.id, both);
    }
}

fn channels(x: &FlexTensor) -> usize {
    flex::dims::<4>(x)[3]
}

/// Elements that a task adds, about.
const BLOCK: usize = 32 << 10;

/// The sum of the gradients of all channels and of a part of them, in the place of one of both if nobody else needs that.
fn add(all: FlexTensor, mine: FlexTensor, part: Part) -> FlexTensor {
    let (width, c) = (channels(&all), channels(&mine));
    let start = if part == Part::SecondHalf { c } else { 0 };
    let (mut to, from) = if c < width || buffers::is_ours(&all) { (all, mine) } else { (mine, all) };
    let pixels = (BLOCK / width).max(1);
    let tasks = buffers::elements_mut(&mut to).par_chunks_mut(pixels * width);
    tasks.zip(flex::elements(&from).par_chunks(pixels * c)).for_each(|(to, from)| {
        add_pixels(to, from, width, start, c);
    });
    to
}

#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "per_isa! gives every body its instruction set")]
fn add_body<M>(to: &mut [f32], from: &[f32], width: usize, start: usize, c: usize) {
    if c == width {
        return to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
    }
    for (to, from) in to.chunks_exact_mut(width).zip(from.chunks_exact(c)) {
        to[start..][..c].iter_mut().zip(from).for_each(|(to, from)| *to += from);
    }
}

per_isa! {
    /// Adds pixels of `c` channels to those from `start` on of pixels of `width`.
    fn add_pixels(to: &mut [f32], from: &[f32], width: usize, start: usize, c: usize) = add_body
}

impl<C: CheckpointStrategy> BranchBackend for Autodiff<Flex, C> {
    fn nasty_branch(x: FloatTensor<Self>, part: Part, met: Met) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = Flex::nasty_branch(x, part, met.clone());
        match BranchBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((part, met), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
