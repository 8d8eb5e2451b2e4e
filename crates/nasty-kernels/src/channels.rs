//! Moving channels on the CPU backend: taking some, padding, concatenating and interleaving them.
#![allow(unsafe_code, reason = "results are not filled with zeros first")]

use std::mem::MaybeUninit;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::buffers::filled;
use crate::flex;
use crate::isa::per_isa;

/// Pixels that one task copies.
const PIXELS: usize = 256;

/// Which channels the result has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Channels `start .. start + length`.
    Take { start: usize, length: usize },
    /// All, with channels of zeros before and after.
    Pad { before: usize, behind: usize },
}

impl Move {
    /// Channels of the result, from `c` channels.
    pub(crate) fn output(self, c: usize) -> usize {
        match self {
            Self::Take { length, .. } => length,
            Self::Pad { before, behind } => before + c + behind,
        }
    }

    /// The transpose, which takes gradients back to `c` channels.
    fn back(self, c: usize) -> Self {
        match self {
            Self::Take { start, length } => Self::Pad { before: start, behind: c - start - length },
            Self::Pad { before, .. } => Self::Take { start: before, length: c },
        }
    }

    /// Writes all of one pixel.
    fn pixel(self, x: &[f32], y: &mut [MaybeUninit<f32>]) {
        match self {
            Self::Take { start, length } => {
                y.write_copy_of_slice(&x[start..][..length]);
            }
            Self::Pad { before, .. } => {
                y[..before].fill(MaybeUninit::new(0.0));
                y[before..][..x.len()].write_copy_of_slice(x);
                y[before + x.len()..].fill(MaybeUninit::new(0.0));
            }
        }
    }

    pub(crate) fn run(self, x: FlexTensor) -> FlexTensor {
        let x = flex::contiguous(x);
        let [n, h, w, c] = flex::dims(&x);
        let output = self.output(c);
        // SAFETY: y has a pixel of `output` channels for each of x, and `pixel` writes all of them.
        let y = unsafe {
            filled(n * h * w * output, |y| {
                let tasks = y.par_chunks_mut(PIXELS * output).zip(flex::elements(&x).par_chunks(PIXELS * c));
                tasks.for_each(|(y, x)| {
                    y.chunks_exact_mut(output).zip(x.chunks_exact(c)).for_each(|(y, x)| self.pixel(x, y));
                });
            })
        };
        flex::from_vec(y, [n, h, w, output])
    }
}

/// The operations that Burn dispatches.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait ChannelBackend: Backend {
    fn nasty_move_channels(x: FloatTensor<Self>, how: Move) -> FloatTensor<Self>;
    fn nasty_concat_channels(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
    fn nasty_interleave_channels(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
}

pub(crate) fn move_channels(x: Tensor<4>, how: Move) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as ChannelBackend>::nasty_move_channels(x.into_dispatch(), how))
}

pub(crate) fn concat(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as ChannelBackend>::nasty_concat_channels(
        a.into_dispatch(),
        b.into_dispatch(),
    ))
}

pub(crate) fn interleave(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as ChannelBackend>::nasty_interleave_channels(
        a.into_dispatch(),
        b.into_dispatch(),
    ))
}

/// Elements of each input that a task interleaves.
const BLOCK: usize = 16 << 10;

#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "per_isa! gives every body its instruction set")]
fn interleave_body<M>(a: &[f32], b: &[f32], y: &mut [MaybeUninit<f32>]) {
    // Sixteen at a time, which the compiler turns into vectors.
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let (y, y_rest) = y.split_at_mut(32 * a.len());
    for ((a, b), y) in a.iter().zip(b).zip(y.as_chunks_mut::<32>().0) {
        for (i, [first, second]) in y.as_chunks_mut().0.iter_mut().enumerate() {
            first.write(a[i]);
            second.write(b[i]);
        }
    }
    for ([first, second], (a, b)) in y_rest.as_chunks_mut().0.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        first.write(*a);
        second.write(*b);
    }
}

per_isa! {
    /// Interleaves the elements of a and b.
    pub(crate) fn interleave_block(a: &[f32], b: &[f32], y: &mut [MaybeUninit<f32>]) = interleave_body
}

#[inline(always)]
fn interleave_halves_body<M>(
    a: &[f32],
    b: &[f32],
    c: usize,
    first: &mut [MaybeUninit<f32>],
    second: &mut [MaybeUninit<f32>],
) {
    let pixels = a.chunks_exact(c).zip(b.chunks_exact(c));
    let halves = first.chunks_exact_mut(c).zip(second.chunks_exact_mut(c));
    for ((a, b), (first, second)) in pixels.zip(halves) {
        interleave_body::<M>(&a[..c / 2], &b[..c / 2], first);
        interleave_body::<M>(&a[c / 2..], &b[c / 2..], second);
    }
}

per_isa! {
    /// The two halves of the interleaved channels of a and b, `c` channels each.
    pub(crate) fn interleave_halves_block(
        a: &[f32], b: &[f32], c: usize, first: &mut [MaybeUninit<f32>], second: &mut [MaybeUninit<f32>],
    ) = interleave_halves_body
}

#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "per_isa! gives every body its instruction set")]
fn parts_body<M>(y: &[f32], a: &mut [MaybeUninit<f32>], b: &mut [MaybeUninit<f32>]) {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks_mut::<16>(), b.as_chunks_mut::<16>());
    let (y, y_rest) = y.split_at(32 * a.len());
    for ((a, b), y) in a.iter_mut().zip(b).zip(y.as_chunks::<32>().0) {
        for (i, [first, second]) in y.as_chunks().0.iter().enumerate() {
            a[i].write(*first);
            b[i].write(*second);
        }
    }
    for ((a, b), [first, second]) in a_rest.iter_mut().zip(b_rest).zip(y_rest.as_chunks().0) {
        a.write(*first);
        b.write(*second);
    }
}

per_isa! {
    /// The inverse of [`interleave_block`].
    fn parts_block(y: &[f32], a: &mut [MaybeUninit<f32>], b: &mut [MaybeUninit<f32>]) = parts_body
}

#[inline(always)]
fn parts_of_halves_body<M>(
    first: &[f32],
    second: &[f32],
    c: usize,
    a: &mut [MaybeUninit<f32>],
    b: &mut [MaybeUninit<f32>],
) {
    let pixels = a.chunks_exact_mut(c).zip(b.chunks_exact_mut(c));
    let halves = first.chunks_exact(c).zip(second.chunks_exact(c));
    for ((a, b), (first, second)) in pixels.zip(halves) {
        parts_body::<M>(first, &mut a[..c / 2], &mut b[..c / 2]);
        parts_body::<M>(second, &mut a[c / 2..], &mut b[c / 2..]);
    }
}

per_isa! {
    /// The inverse of [`interleave_halves_block`].
    fn parts_of_halves_block(
        first: &[f32], second: &[f32], c: usize, a: &mut [MaybeUninit<f32>], b: &mut [MaybeUninit<f32>],
    ) = parts_of_halves_body
}

/// Computes whole pixels of two results from the same pixels of two tensors, all of `c` channels. Writes every element.
type TwoToTwo = fn(&[f32], &[f32], usize, &mut [MaybeUninit<f32>], &mut [MaybeUninit<f32>]);

fn two_to_two(a: FlexTensor, b: FlexTensor, block: TwoToTwo) -> [FlexTensor; 2] {
    let (a, b) = (flex::contiguous(a), flex::contiguous(b));
    let dims @ [.., c] = flex::dims::<4>(&a);
    let (a, b, part) = (flex::elements(&a), flex::elements(&b), PIXELS * c);
    assert_eq!(a.len(), b.len(), "both have the same shape");
    // SAFETY: all four are as long and split alike, and a block writes every element of both results.
    let [first, second] = unsafe {
        two_filled([a.len(), b.len()], |first, second| {
            let results = first.par_chunks_mut(part).zip(second.par_chunks_mut(part));
            let tasks = results.zip(a.par_chunks(part).zip(b.par_chunks(part)));
            tasks.for_each(|((first, second), (a, b))| block(a, b, c, first, second));
        })
    };
    [first, second].map(|values| flex::from_vec(values, dims))
}

/// Two vectors that `fill` writes.
///
/// # Safety
/// `fill` must initialise every element of both slices, unless it panics.
unsafe fn two_filled(
    lens: [usize; 2],
    fill: impl FnOnce(&mut [MaybeUninit<f32>], &mut [MaybeUninit<f32>]),
) -> [Vec<f32>; 2] {
    let mut second = Vec::new();
    // SAFETY: the caller's promise, for both.
    let first = unsafe { filled(lens[0], |first| second = filled(lens[1], |second| fill(first, second))) };
    [first, second]
}

/// The two halves of the interleaved channels of a and b.
pub(crate) fn interleaved_halves(a: FlexTensor, b: FlexTensor) -> [FlexTensor; 2] {
    two_to_two(a, b, interleave_halves_block)
}

/// The inverse of [`interleaved_halves`].
pub(crate) fn parts(first: FlexTensor, second: FlexTensor) -> [FlexTensor; 2] {
    two_to_two(first, second, parts_of_halves_block)
}

/// The two halves of the channels.
pub(crate) fn halves(x: FlexTensor) -> [FlexTensor; 2] {
    let c = flex::dims::<4>(&x)[3];
    cut(x, [c / 2, c - c / 2])
}

/// The first channels of x, and the others.
fn cut(x: FlexTensor, [first, second]: [usize; 2]) -> [FlexTensor; 2] {
    let x = flex::contiguous(x);
    let [n, h, w, c] = flex::dims(&x);
    // SAFETY: every pixel of x is copied to the same pixel of a and b.
    let [a, b] = unsafe {
        two_filled([n * h * w * first, n * h * w * second], |a, b| {
            let blocks = a.par_chunks_mut(PIXELS * first).zip(b.par_chunks_mut(PIXELS * second));
            blocks.zip(flex::elements(&x).par_chunks(PIXELS * c)).for_each(|((a, b), x)| {
                let parts = a.chunks_exact_mut(first).zip(b.chunks_exact_mut(second));
                for (x, (a, b)) in x.chunks_exact(c).zip(parts) {
                    a.write_copy_of_slice(&x[..first]);
                    b.write_copy_of_slice(&x[first..]);
                }
            });
        })
    };
    [flex::from_vec(a, [n, h, w, first]), flex::from_vec(b, [n, h, w, second])]
}

/// The channels of a, then those of b.
pub(crate) fn join(a: FlexTensor, b: FlexTensor) -> FlexTensor {
    let (a, b) = (flex::contiguous(a), flex::contiguous(b));
    let ([n, h, w, first], [.., second]) = (flex::dims::<4>(&a), flex::dims::<4>(&b));
    let output = first + second;
    assert_eq!(flex::elements(&b).len(), n * h * w * second, "both have as many pixels");
    let parts =
        flex::elements(&a).par_chunks(PIXELS * first).zip(flex::elements(&b).par_chunks(PIXELS * second));
    // SAFETY: every pixel of y is written: first the channels of a, then those of b.
    let y = unsafe {
        filled(n * h * w * output, |y| {
            y.par_chunks_mut(PIXELS * output).zip(parts).for_each(|(y, (a, b))| {
                let pixels = a.chunks_exact(first).zip(b.chunks_exact(second));
                for (y, (a, b)) in y.chunks_exact_mut(output).zip(pixels) {
                    y[..first].write_copy_of_slice(a);
                    y[first..].write_copy_of_slice(b);
                }
            });
        })
    };
    flex::from_vec(y, [n, h, w, output])
}

impl ChannelBackend for Flex {
    fn nasty_move_channels(x: FlexTensor, how: Move) -> FlexTensor {
        how.run(x)
    }

    fn nasty_concat_channels(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        join(a, b)
    }

    fn nasty_interleave_channels(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        let (a, b) = (flex::contiguous(a), flex::contiguous(b));
        let [n, h, w, c] = flex::dims(&a);
        assert_eq!(flex::elements(&b).len(), n * h * w * c, "both have the same shape");
        // Both have the same number of channels, so interleaving channels is interleaving elements.
        // SAFETY: the blocks cover all of y, and two elements are written for each of a and b.
        let y = unsafe {
            filled(n * h * w * 2 * c, |y| {
                let parts = flex::elements(&a).par_chunks(BLOCK).zip(flex::elements(&b).par_chunks(BLOCK));
                y.par_chunks_mut(2 * BLOCK).zip(parts).for_each(|(y, (a, b))| interleave_block(a, b, y));
            })
        };
        flex::from_vec(y, [n, h, w, 2 * c])
    }
}

/// Its state is the transpose of the move.
#[derive(Debug)]
struct MoveBack;

impl Backward<Flex, 1> for MoveBack {
    type State = Move;

    fn backward(self, ops: Ops<Move, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<Flex, _>(ops.parents, ops.node, grads, |dy| ops.state.run(dy));
    }
}

/// Its state is the channels of both parts.
#[derive(Debug)]
struct ConcatBackward;

impl Backward<Flex, 2> for ConcatBackward {
    type State = [usize; 2];

    fn backward(self, ops: Ops<[usize; 2], 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        for (parent, part) in ops.parents.iter().zip(cut(grads.consume::<Flex>(&ops.node), ops.state)) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, part);
            }
        }
    }
}

#[derive(Debug)]
struct InterleaveBackward;

impl Backward<Flex, 2> for InterleaveBackward {
    type State = ();

    fn backward(self, ops: Ops<(), 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = flex::contiguous(grads.consume::<Flex>(&ops.node));
        let [n, h, w, c] = flex::dims(&dy);
        // SAFETY: the blocks cover both parts, and one element of each is written for two of dy.
        let [first, second] = unsafe {
            two_filled([n * h * w * c / 2; 2], |a, b| {
                let blocks = a.par_chunks_mut(BLOCK).zip(b.par_chunks_mut(BLOCK));
                let blocks = blocks.zip(flex::elements(&dy).par_chunks(2 * BLOCK));
                blocks.for_each(|((a, b), dy)| parts_block(dy, a, b));
            })
        };
        for (parent, part) in ops.parents.iter().zip([first, second]) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, flex::from_vec(part, [n, h, w, c / 2]));
            }
        }
    }
}

impl<C: CheckpointStrategy> ChannelBackend for Autodiff<Flex, C> {
    fn nasty_move_channels(x: FloatTensor<Self>, how: Move) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let [.., c] = flex::dims::<4>(&x);
        let y = how.run(x);
        match MoveBack.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(how.back(c), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn nasty_concat_channels(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((a, a_node), (b, b_node)) = (a.into_parts(), b.into_parts());
        let channels = [&a, &b].map(|part| flex::dims::<4>(part)[3]);
        let y = Flex::nasty_concat_channels(a, b);
        match ConcatBackward.prepare::<C>([a_node, b_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(channels, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn nasty_interleave_channels(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((a, a_node), (b, b_node)) = (a.into_parts(), b.into_parts());
        let y = Flex::nasty_interleave_channels(a, b);
        match InterleaveBackward.prepare::<C>([a_node, b_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
