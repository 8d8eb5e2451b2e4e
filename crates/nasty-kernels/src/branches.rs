//! Two ways out of one tensor on the CPU backend: to all of it twice, or to either half of its channels. The gradients
//! of both come back as one, in one pass by all threads; Burn itself would add tensors of the whole size, by one thread.

use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::buffers::{self, filled};
use crate::channels::Move;
use crate::flex;

/// What a branch sees of x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    FirstHalf,
    SecondHalf,
}

/// Where the branch whose gradient comes first leaves it for the other.
type Meeting = Arc<Mutex<Option<FlexTensor>>>;

/// The operation as Burn dispatches it.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait BranchBackend: Backend {
    fn nasty_branch(x: FloatTensor<Self>, part: Part, meeting: Meeting) -> FloatTensor<Self>;
}

/// Both branches.
pub(crate) fn branches(x: &Tensor<4>, parts: [Part; 2]) -> [Tensor<4>; 2] {
    let meeting = Meeting::default();
    parts.map(|part| {
        let x = x.clone().into_dispatch();
        Tensor::from_dispatch(<Dispatch as BranchBackend>::nasty_branch(x, part, meeting.clone()))
    })
}

impl BranchBackend for Flex {
    fn nasty_branch(x: FlexTensor, part: Part, _: Meeting) -> FlexTensor {
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
    type State = (Part, Meeting);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mine = flex::contiguous(grads.consume::<Flex>(&ops.node));
        let (part, meeting) = ops.state;
        let mut waiting = meeting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(other) = waiting.take() else {
            *waiting = Some(mine);
            return;
        };
        let both = match part {
            Part::All => sum(mine, other),
            Part::FirstHalf => join(&mine, &other),
            Part::SecondHalf => join(&other, &mine),
        };
        if let [Some(x)] = &ops.parents {
            grads.register::<Flex>(x.id, both);
        }
    }
}

/// Elements that a task adds.
const BLOCK: usize = 32 << 10;

/// In the place of one of them if nobody else needs that.
fn sum(a: FlexTensor, b: FlexTensor) -> FlexTensor {
    let (mut a, b) = if buffers::is_ours(&a) { (a, b) } else { (b, a) };
    let blocks =
        buffers::elements_mut(&mut a).par_chunks_mut(BLOCK).zip(flex::elements(&b).par_chunks(BLOCK));
    blocks.for_each(|(a, b)| a.iter_mut().zip(b).for_each(|(a, b)| *a += b));
    a
}

/// Pixels that a task joins.
const PIXELS: usize = 256;

/// The channels of b behind those of a, as many of both.
pub(crate) fn join(a: &FlexTensor, b: &FlexTensor) -> FlexTensor {
    let [n, h, w, c] = flex::dims::<4>(a);
    let pixels = |values: &mut [MaybeUninit<f32>], a: &[f32], b: &[f32]| {
        for (pixel, (a, b)) in values.chunks_exact_mut(2 * c).zip(a.chunks_exact(c).zip(b.chunks_exact(c))) {
            pixel[..c].write_copy_of_slice(a);
            pixel[c..].write_copy_of_slice(b);
        }
    };
    let joined = filled(2 * n * h * w * c, |values| {
        let parts = flex::elements(a).par_chunks(PIXELS * c).zip(flex::elements(b).par_chunks(PIXELS * c));
        values.par_chunks_mut(2 * PIXELS * c).zip(parts).for_each(|(values, (a, b))| pixels(values, a, b));
    });
    flex::from_vec(joined, [n, h, w, 2 * c])
}

impl<C: CheckpointStrategy> BranchBackend for Autodiff<Flex, C> {
    fn nasty_branch(x: FloatTensor<Self>, part: Part, meeting: Meeting) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = Flex::nasty_branch(x, part, meeting.clone());
        match BranchBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((part, meeting), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
