//! The computations of a convolution on slices, for a given instruction set and precision.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::bias;
use super::depthwise;
use super::gather::Gather;
pub(crate) use super::gather::{Epilogue, Prologue};
use super::geometry::{ConvShape, Taps};
use super::pack::WeightOrder;
use super::pointwise;
use super::weight;
use super::winograd::{self, Winograd};
use crate::Precision;
use crate::buffers::filled;
use crate::scratch::Scratch;
use crate::simd::{Element, Pair, Path};

/// A convolution with all that decides how it is computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Computation {
    pub(crate) shape: ConvShape,
    pub(crate) path: Path,
    pub(crate) precision: Precision,
}

/// What else is computed part by part, while the parts are in the cache.
#[derive(Clone, Copy, Default)]
pub(crate) struct Around<'a> {
    /// What the convolution reads in x's place, where it [takes one](Computation::takes_prologue).
    pub(crate) prologue: Option<&'a Prologue<'a>>,
    /// Sees or changes all of the result.
    pub(crate) epilogue: Option<&'a Epilogue<'a>>,
}

impl Around<'_> {
    /// What is read in the place of some whole pixels of x.
    pub(super) fn read<T>(&self, x: &[f32], with: impl FnOnce(&[f32]) -> T) -> T {
        let Some(prologue) = self.prologue else { return with(x) };
        let mut scratch = Scratch::take(x.len());
        let read = &mut scratch.elements::<f32>()[..x.len()];
        // SAFETY: the same layout, and a prologue writes values, never the lack of one.
        prologue(x, unsafe { &mut *(std::ptr::from_mut(read) as *mut [MaybeUninit<f32>]) });
        with(read)
    }

    /// The same of all pixels, `channels` values each.
    fn read_all<'x>(&self, x: &'x [f32], channels: usize) -> Cow<'x, [f32]> {
        let Some(prologue) = self.prologue else { return Cow::Borrowed(x) };
        let block = PIXELS * channels;
        Cow::Owned(filled(x.len(), |read| {
            read.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(read, x)| prologue(x, read));
        }))
    }
}

/// Pixels that a prologue by itself computes at a time.
const PIXELS: usize = 128;

/// How all three computations of a shape are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// One input and one output channel a group: bound by memory, and always computed in f32.
    Depthwise,
    /// As products of matrices.
    Pointwise,
    Winograd,
    /// Tap by tap.
    Direct,
}

impl Computation {
    fn way(&self) -> Way {
        let s = &self.shape;
        if s.groups == s.cin && s.groups == s.cout {
            Way::Depthwise
        } else if s.is_pointwise() {
            Way::Pointwise
        } else if winograd::applies(s, self.precision) {
            Way::Winograd
        } else {
            Way::Direct
        }
    }

    /// Whether a prologue can be computed on the way. Both gradients are then best computed by [`Self::backward`].
    pub(crate) fn takes_prologue(&self) -> bool {
        matches!(self.way(), Way::Depthwise | Way::Pointwise)
    }

    /// y `[n, oh, ow, cout]`.
    pub(crate) fn forward(
        &self,
        around: Around<'_>,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        assert!(around.prologue.is_none() || self.takes_prologue(), "a prologue for {:?}", self.way());
        match self.precision {
            Precision::F32 => self.forward_of::<f32>(around, x, weight, bias),
            Precision::Bf16 => self.forward_of::<Pair>(around, x, weight, bias),
        }
    }

    fn forward_of<E: Element>(
        &self,
        around: Around<'_>,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        let (s, way) = (&self.shape, self.way());
        match way {
            Way::Depthwise => return depthwise::forward(self.path, s, around, x, weight, bias),
            Way::Pointwise => return pointwise::forward::<E>(self.path, s, around, x, weight, bias),
            Way::Winograd | Way::Direct => {}
        }
        let (inputs, outputs) = (s.cin / s.groups, s.cout / s.groups);
        let order = WeightOrder {
            group: outputs * inputs * s.taps(),
            destination: inputs * s.taps(),
            source: s.taps(),
        };
        let gather = Gather {
            images: s.n,
            groups: s.groups,
            source: [s.h, s.w, s.cin],
            destination: [s.oh, s.ow, s.cout],
            rows: (0..s.oh).map(|o| Taps::forward(o, s.kh, s.h, s.stride, s.padding)).collect(),
            columns: (0..s.ow).map(|o| Taps::forward(o, s.kw, s.w, s.stride, s.padding)).collect(),
            kernel: [s.kh, s.kw],
            order,
            bias,
            epilogue: around.epilogue,
        };
        if way == Way::Direct {
            return gather.run::<E>(self.path, x, weight);
        }
        Winograd { gather: &gather, padding: s.padding, flipped: false }.run::<E>(self.path, x, weight)
    }

    /// dx `[n, h, w, cin]`.
    pub(crate) fn backward_input(
        &self,
        epilogue: Option<&Epilogue<'_>>,
        weight: &[f32],
        dy: &[f32],
    ) -> Vec<f32> {
        match self.precision {
            Precision::F32 => self.backward_input_of::<f32>(epilogue, weight, dy),
            Precision::Bf16 => self.backward_input_of::<Pair>(epilogue, weight, dy),
        }
    }

    fn backward_input_of<E: Element>(
        &self,
        epilogue: Option<&Epilogue<'_>>,
        weight: &[f32],
        dy: &[f32],
    ) -> Vec<f32> {
        let (s, way) = (&self.shape, self.way());
        match way {
            Way::Depthwise => return depthwise::backward_input(self.path, s, epilogue, weight, dy),
            Way::Pointwise => return pointwise::backward_input::<E>(self.path, s, epilogue, weight, dy),
            Way::Winograd | Way::Direct => {}
        }
        let (inputs, outputs) = (s.cin / s.groups, s.cout / s.groups);
        let order = WeightOrder {
            group: outputs * inputs * s.taps(),
            destination: s.taps(),
            source: inputs * s.taps(),
        };
        let gather = Gather {
            images: s.n,
            groups: s.groups,
            source: [s.oh, s.ow, s.cout],
            destination: [s.h, s.w, s.cin],
            rows: (0..s.h).map(|i| Taps::backward(i, s.kh, s.oh, s.stride, s.padding)).collect(),
            columns: (0..s.w).map(|i| Taps::backward(i, s.kw, s.ow, s.stride, s.padding)).collect(),
            kernel: [s.kh, s.kw],
            order,
            bias: None,
            epilogue,
        };
        if way == Way::Direct {
            return gather.run::<E>(self.path, dy, weight);
        }
        let padding = (s.kh - 1).saturating_sub(s.padding);
        Winograd { gather: &gather, padding, flipped: true }.run::<E>(self.path, dy, weight)
    }

    /// dw as the weight.
    pub(crate) fn backward_weight(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        match self.precision {
            Precision::F32 => self.backward_weight_of::<f32>(x, dy),
            Precision::Bf16 => self.backward_weight_of::<Pair>(x, dy),
        }
    }

    fn backward_weight_of<E: Element>(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let s = &self.shape;
        match self.way() {
            Way::Depthwise => depthwise::backward_weight(self.path, s, x, dy),
            Way::Pointwise => pointwise::backward_weight::<E>(self.path, x, dy, s.cin, s.cout),
            Way::Winograd => winograd::backward_weight::<E>(self.path, s, x, dy),
            Way::Direct => weight::backward_weight::<E>(self.path, s, x, dy),
        }
    }

    /// dx and dw. The epilogue sees dx; with a prologue dx is the gradient of what that gives.
    pub(crate) fn backward(
        &self,
        around: Around<'_>,
        x: &[f32],
        weight: &[f32],
        dy: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let (s, way) = (&self.shape, self.way());
        assert!(around.prologue.is_none() || self.takes_prologue(), "a prologue for {way:?}");
        match (way, self.precision) {
            (Way::Depthwise, _) if depthwise::suits_both(s) => {
                depthwise::backward(self.path, s, around, x, weight, dy)
            }
            (Way::Pointwise, Precision::F32) if pointwise::suits_both(self.path, s) => {
                pointwise::backward::<f32>(self.path, s, around, x, weight, dy)
            }
            (Way::Pointwise, Precision::Bf16) if pointwise::suits_both(self.path, s) => {
                pointwise::backward::<Pair>(self.path, s, around, x, weight, dy)
            }
            _ => {
                let dw = self.backward_weight(&around.read_all(x, s.cin), dy);
                (self.backward_input(around.epilogue, weight, dy), dw)
            }
        }
    }

    /// db `[cout]`.
    pub(crate) fn backward_bias(&self, dy: &[f32]) -> Vec<f32> {
        bias::backward_bias(dy, self.shape.cout)
    }
}
