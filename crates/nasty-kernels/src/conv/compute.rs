//! The computations of a convolution on slices, for a given instruction set and precision.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::ops::Range;

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
use crate::buffers::filled;
use crate::norm::activate_block;
use crate::scratch::Scratch;
use crate::simd::{Element, Pair, Path};
use crate::{Activation, Precision};

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
    /// What the forward pass's result goes through first.
    pub(crate) activation: Activation,
    /// Sees or changes all of the result.
    pub(crate) epilogue: Option<&'a Epilogue<'a>>,
    /// What [`Computation::backward`] reads in dy's place, where it [takes one](Computation::takes_gradient).
    pub(crate) gradient: Option<GradientPrologue<'a>>,
}

/// A [`Prologue`] of dy.
#[derive(Clone, Copy)]
pub(crate) struct GradientPrologue<'a> {
    pub(crate) compute: &'a Prologue<'a>,
    /// What it reads too, of dy's shape.
    pub(crate) beside: &'a [f32],
}

impl Around<'_> {
    /// What is read in the place of some pixels of x.
    pub(super) fn x<T>(&self, pixels: Range<usize>, x: &[f32], with: impl FnOnce(&[f32]) -> T) -> T {
        read(self.prologue, pixels, x, with)
    }

    /// The same of dy.
    pub(super) fn dy<T>(&self, pixels: Range<usize>, dy: &[f32], with: impl FnOnce(&[f32]) -> T) -> T {
        read(self.gradient.map(|gradient| gradient.compute), pixels, dy, with)
    }

    /// What is read beside some pixels of dy.
    pub(super) fn beside_dy(&self, pixels: Range<usize>) -> &[f32] {
        self.gradient.map_or(&[], |gradient| &gradient.beside[pixels])
    }

    /// The same of all pixels, `channels` values each.
    fn read_all<'x>(&self, x: &'x [f32], channels: usize) -> Cow<'x, [f32]> {
        let Some(prologue) = self.prologue else { return Cow::Borrowed(x) };
        let block = PIXELS * channels;
        Cow::Owned(filled(x.len(), |read| {
            read.par_chunks_mut(block)
                .zip(x.par_chunks(block))
                .enumerate()
                .for_each(|(i, (read, x))| prologue(i * block, x, read));
        }))
    }
}

/// What is read in the place of the elements `some` of x, which are whole pixels.
fn read<T>(
    prologue: Option<&Prologue<'_>>,
    some: Range<usize>,
    x: &[f32],
    with: impl FnOnce(&[f32]) -> T,
) -> T {
    let (at, x) = (some.start, &x[some]);
    let Some(prologue) = prologue else { return with(x) };
    let mut scratch = Scratch::take(x.len());
    let read = &mut scratch.elements::<f32>()[..x.len()];
    // SAFETY: the same layout, and a prologue writes values, never the lack of one.
    prologue(at, x, unsafe { &mut *(std::ptr::from_mut(read) as *mut [MaybeUninit<f32>]) });
    with(read)
}

/// Pixels that a prologue by itself computes at a time.
const PIXELS: usize = 128;

/// Fewer input channels of a 1×1 convolution are not rounded.
const FEW: usize = 32;

/// How all three computations of a shape are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// One input and one output channel a group: bound by memory, and always computed in f32.
    Depthwise,
    /// As products of matrices.
    Pointwise,
    Winograd,
    /// Tap by tap.
    Direct,
}

impl Computation {
    /// On the chosen instruction set.
    pub(crate) fn new(shape: ConvShape, precision: Precision) -> Self {
        Self { shape, path: Path::chosen(), precision }
    }

    pub(super) fn way(&self) -> Way {
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

    /// Whether [`Self::backward`] computes both gradients at once, and can go [`Around::gradient`]'s way too.
    pub(crate) fn takes_gradient(&self) -> bool {
        match self.way() {
            Way::Depthwise => depthwise::suits_both(&self.shape),
            Way::Pointwise => pointwise::suits_both(self.path, &self.shape),
            Way::Winograd | Way::Direct => false,
        }
    }

    /// Of few products, rounding the factors takes longer than it saves.
    pub(super) fn forward_precision(&self) -> Precision {
        if self.way() == Way::Pointwise && self.shape.cin < FEW { Precision::F32 } else { self.precision }
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
        match self.forward_precision() {
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
        let epilogue = |at: usize, y: &mut [f32]| {
            activate_block(y, around.activation);
            if let Some(epilogue) = around.epilogue {
                epilogue(at, y);
            }
        };
        let epilogue =
            (around.activation != Activation::None || around.epilogue.is_some()).then_some(epilogue);
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
            epilogue: epilogue.as_ref().map(|f| f as &Epilogue<'_>),
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
        if !self.takes_gradient() {
            assert!(around.gradient.is_none(), "a way for the gradient of {s:?}");
            let dw = self.backward_weight(&around.read_all(x, s.cin), dy);
            return (self.backward_input(around.epilogue, weight, dy), dw);
        }
        match (way, self.precision) {
            (Way::Depthwise, _) => depthwise::backward(self.path, s, around, x, weight, dy),
            (_, Precision::F32) => pointwise::backward::<f32>(self.path, s, around, x, weight, dy),
            (_, Precision::Bf16) => pointwise::backward::<Pair>(self.path, s, around, x, weight, dy),
        }
    }

    /// db `[cout]`.
    pub(crate) fn backward_bias(&self, dy: &[f32]) -> Vec<f32> {
        bias::backward_bias(dy, self.shape.cout)
    }
}
