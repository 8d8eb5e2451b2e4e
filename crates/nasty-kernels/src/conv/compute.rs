//! The three computations of a convolution on slices: forward, gradient of the input, gradient of the weight.

use std::borrow::Cow;

use rayon::prelude::*;

use super::bias;
use super::choose::{Algorithm, Choice, choose};
use super::depthwise;
use super::fusion::{Epilogue, Fusion};
use super::gather::Gather;
use super::geometry::{ConvShape, Taps};
use super::pack::WeightOrder;
use super::pointwise;
use super::weight;
use super::winograd::{self, Winograd};
use crate::buffers::filled;
use crate::norm::activate_block;
use crate::simd::{Element, Pair, Path};
use crate::{Activation, Precision};

/// A convolution and everything that decides how it is computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Computation {
    pub(crate) shape: ConvShape,
    pub(crate) path: Path,
    pub(crate) precision: Precision,
}

/// Pixels that a prologue computes at a time if the convolution cannot do it as it reads.
const PIXELS: usize = 128;

/// All of x, `channels` values a pixel, after the prologue.
fn read_all<'x>(fusion: &Fusion<'_>, x: &'x [f32], channels: usize) -> Cow<'x, [f32]> {
    let Some(prologue) = fusion.prologue else { return Cow::Borrowed(x) };
    let block = PIXELS * channels;
    // SAFETY: the blocks cover all of `read`, and a prologue writes every element of its target.
    let read = unsafe {
        filled(x.len(), |read| {
            read.par_chunks_mut(block)
                .zip(x.par_chunks(block))
                .enumerate()
                .for_each(|(i, (read, x))| prologue(i * block, x, read));
        })
    };
    Cow::Owned(read)
}

impl Computation {
    /// A computation on the [chosen](Path::chosen) instruction set.
    pub(crate) fn new(shape: ConvShape, precision: Precision) -> Self {
        Self { shape, path: Path::chosen(), precision }
    }

    /// The algorithm and the precisions.
    pub(crate) fn choice(&self) -> Choice {
        choose(&self.shape, self.precision, self.path)
    }

    /// y `[n, oh, ow, cout]`.
    pub(crate) fn forward(
        &self,
        fusion: Fusion<'_>,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        let choice = self.choice();
        assert!(fusion.prologue.is_none() || choice.takes_prologue(), "{choice:?} takes no prologue");
        match choice.forward {
            Precision::F32 => self.forward_of::<f32>(choice.algorithm, fusion, x, weight, bias),
            Precision::Bf16 => self.forward_of::<Pair>(choice.algorithm, fusion, x, weight, bias),
        }
    }

    fn forward_of<E: Element>(
        &self,
        algorithm: Algorithm,
        fusion: Fusion<'_>,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        let s = &self.shape;
        match algorithm {
            Algorithm::Depthwise => return depthwise::forward(self.path, s, fusion, x, weight, bias),
            Algorithm::Pointwise => return pointwise::forward::<E>(self.path, s, fusion, x, weight, bias),
            Algorithm::Winograd | Algorithm::Direct => {}
        }
        let epilogue = |at: usize, y: &mut [f32]| {
            activate_block(y, fusion.activation);
            if let Some(epilogue) = fusion.epilogue {
                epilogue(at, y);
            }
        };
        let epilogue =
            (fusion.activation != Activation::None || fusion.epilogue.is_some()).then_some(epilogue);
        let epilogue = epilogue.as_ref().map(|f| f as &Epilogue<'_>);
        if algorithm == Algorithm::Winograd {
            return Winograd::<E>::forward(self.path, s, weight, bias).run(s.n, x, epilogue);
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
            epilogue,
        };
        gather.run::<E>(self.path, x, weight)
    }

    /// dx `[n, h, w, cin]`.
    pub(crate) fn backward_input(
        &self,
        epilogue: Option<&Epilogue<'_>>,
        weight: &[f32],
        dy: &[f32],
    ) -> Vec<f32> {
        let choice = self.choice();
        match choice.backward {
            Precision::F32 => self.backward_input_of::<f32>(choice.algorithm, epilogue, weight, dy),
            Precision::Bf16 => self.backward_input_of::<Pair>(choice.algorithm, epilogue, weight, dy),
        }
    }

    fn backward_input_of<E: Element>(
        &self,
        algorithm: Algorithm,
        epilogue: Option<&Epilogue<'_>>,
        weight: &[f32],
        dy: &[f32],
    ) -> Vec<f32> {
        let s = &self.shape;
        match algorithm {
            Algorithm::Depthwise => return depthwise::backward_input(self.path, s, epilogue, weight, dy),
            Algorithm::Pointwise => {
                return pointwise::backward_input::<E>(self.path, s, epilogue, weight, dy);
            }
            Algorithm::Winograd => {
                return Winograd::<E>::backward(self.path, s, weight).run(s.n, dy, epilogue);
            }
            Algorithm::Direct => {}
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
        gather.run::<E>(self.path, dy, weight)
    }

    /// dw, shaped as the weight.
    pub(crate) fn backward_weight(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let choice = self.choice();
        match choice.backward {
            Precision::F32 => self.backward_weight_of::<f32>(choice.algorithm, x, dy),
            Precision::Bf16 => self.backward_weight_of::<Pair>(choice.algorithm, x, dy),
        }
    }

    fn backward_weight_of<E: Element>(&self, algorithm: Algorithm, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let s = &self.shape;
        match algorithm {
            Algorithm::Depthwise => depthwise::backward_weight(self.path, s, x, dy),
            Algorithm::Pointwise => pointwise::backward_weight::<E>(self.path, x, dy, s.cin, s.cout),
            Algorithm::Winograd => winograd::backward_weight::<E>(self.path, s, x, dy),
            Algorithm::Direct => weight::backward_weight::<E>(self.path, s, x, dy),
        }
    }

    /// dx and dw. The epilogue sees dx; with a prologue, dx is the gradient of the prologue's result.
    pub(crate) fn backward(
        &self,
        fusion: Fusion<'_>,
        x: &[f32],
        weight: &[f32],
        dy: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let (s, choice) = (&self.shape, self.choice());
        assert!(fusion.prologue.is_none() || choice.takes_prologue(), "{choice:?} takes no prologue");
        if !choice.gradients_together {
            assert!(fusion.gradient.is_none(), "the gradients of {s:?} are not computed together");
            let dw = self.backward_weight(&read_all(&fusion, x, s.cin), dy);
            return (self.backward_input(fusion.epilogue, weight, dy), dw);
        }
        match (choice.algorithm, choice.backward) {
            (Algorithm::Depthwise, _) => depthwise::backward(self.path, s, fusion, x, weight, dy),
            (_, Precision::F32) => pointwise::backward::<f32>(self.path, s, fusion, x, weight, dy),
            (_, Precision::Bf16) => pointwise::backward::<Pair>(self.path, s, fusion, x, weight, dy),
        }
    }

    /// db `[cout]`.
    pub(crate) fn backward_bias(&self, dy: &[f32]) -> Vec<f32> {
        bias::backward_bias(dy, self.shape.cout)
    }
}
