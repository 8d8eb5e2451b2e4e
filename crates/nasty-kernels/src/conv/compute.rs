//! The computations of a convolution on slices, for a given instruction set and precision.

use rayon::prelude::*;

use super::bias;
use super::depthwise;
pub(crate) use super::gather::Epilogue;
use super::gather::Gather;
use super::geometry::{ConvShape, Taps};
use super::pack::WeightOrder;
use super::pointwise;
use super::weight;
use super::winograd::{self, Winograd};
use crate::Precision;
use crate::simd::{Element, Pair, Path};

/// A convolution with all that decides how it is computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Computation {
    pub(crate) shape: ConvShape,
    pub(crate) path: Path,
    pub(crate) precision: Precision,
}

impl Computation {
    /// One input and one output channel a group: bound by memory, and always computed in f32.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.shape.groups == self.shape.cin && self.shape.groups == self.shape.cout
    }

    /// y `[n, oh, ow, cout]`.
    pub(crate) fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        self.forward_then(x, weight, bias, None)
    }

    /// [`forward`](Self::forward), with an epilogue over all pixels.
    pub(crate) fn forward_then(
        &self,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        epilogue: Option<&Epilogue<'_>>,
    ) -> Vec<f32> {
        let s = &self.shape;
        if self.is_depthwise() {
            let mut y = depthwise::forward(self.path, s, x, weight, bias);
            if let Some(epilogue) = epilogue {
                let image = (s.oh * s.ow * s.cout).max(1);
                y.par_chunks_mut(image).enumerate().for_each(|(i, y)| epilogue(i * image, y));
            }
            return y;
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
        self.gather(&Winograd { gather: &gather, padding: s.padding, flipped: false }, x, weight)
    }

    /// dx `[n, h, w, cin]`.
    pub(crate) fn backward_input(&self, weight: &[f32], dy: &[f32]) -> Vec<f32> {
        let s = &self.shape;
        if self.is_depthwise() {
            return depthwise::backward_input(self.path, s, weight, dy);
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
            epilogue: None,
        };
        let padding = (s.kh - 1).saturating_sub(s.padding);
        self.gather(&Winograd { gather: &gather, padding, flipped: true }, dy, weight)
    }

    /// dw as the weight.
    pub(crate) fn backward_weight(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        if self.is_depthwise() {
            return depthwise::backward_weight(self.path, &self.shape, x, dy);
        }
        match self.precision {
            Precision::F32 => self.backward_weight_of::<f32>(x, dy),
            Precision::Bf16 => self.backward_weight_of::<Pair>(x, dy),
        }
    }

    fn backward_weight_of<E: Element>(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let s = &self.shape;
        match self.way() {
            Way::Pointwise => pointwise::backward_weight::<E>(self.path, x, dy, s.cin, s.cout),
            Way::Winograd => winograd::backward_weight::<E>(self.path, s, x, dy),
            Way::Direct => weight::backward_weight::<E>(self.path, s, x, dy),
        }
    }

    /// db `[cout]`.
    pub(crate) fn backward_bias(&self, dy: &[f32]) -> Vec<f32> {
        bias::backward_bias(dy, self.shape.cout)
    }

    fn gather(&self, winograd: &Winograd<'_>, source: &[f32], weight: &[f32]) -> Vec<f32> {
        match self.precision {
            Precision::F32 => self.gather_of::<f32>(winograd, source, weight),
            Precision::Bf16 => self.gather_of::<Pair>(winograd, source, weight),
        }
    }

    fn gather_of<E: Element>(&self, winograd: &Winograd<'_>, source: &[f32], weight: &[f32]) -> Vec<f32> {
        let gather = winograd.gather;
        match self.way() {
            Way::Pointwise => gather.pointwise().run::<E>(self.path, source, weight),
            Way::Winograd => winograd.run::<E>(self.path, source, weight),
            Way::Direct => gather.run::<E>(self.path, source, weight),
        }
    }

    /// The way that suits a shape that is not depthwise.
    fn way(&self) -> Way {
        if self.shape.is_pointwise() {
            Way::Pointwise
        } else if winograd::applies(&self.shape, self.precision) {
            Way::Winograd
        } else {
            Way::Direct
        }
    }
}

/// How all three computations of a shape are done.
enum Way {
    /// As products of matrices.
    Pointwise,
    Winograd,
    /// Tap by tap.
    Direct,
}
