//! Evaluation-mode batch-norm, which is a scale and a shift a channel, and a convolution before it.

use std::mem::MaybeUninit;

use burn::backend::{Dispatch, Flex};
use burn::tensor::Tensor;

use super::NormBackend;
use super::passes::{Channels, Wide};
use crate::conv::{self, Link, Series};
use crate::flex::primitive;
use crate::{Activation, ConvOptions, Values, buffers, flex};

/// `activation(scale x + shift)` that is yet to be computed.
#[derive(Clone, Debug)]
pub(crate) struct Scaled {
    pub(crate) x: Tensor<4>,
    pub(crate) scale: Tensor<1>,
    pub(crate) shift: Tensor<1>,
    pub(crate) activation: Activation,
}

impl Scaled {
    /// `activation(scale x + shift + residual)`.
    pub(crate) fn compute(self, residual: Option<Tensor<4>>) -> Tensor<4> {
        Tensor::from_dispatch(<Dispatch as NormBackend>::nasty_scale_shift(
            self.x.into_dispatch(),
            self.scale.into_dispatch(),
            self.shift.into_dispatch(),
            residual.into(),
            self.activation,
        ))
    }
}

/// [`Scaled`] behind a convolution, for tensors without a graph; computed now if there is a residual, or nothing that
/// could be computed with it.
pub(crate) fn conv2d_scale_shift(
    x: Values,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
    [scale, shift]: [Tensor<1>; 2],
    residual: Option<Tensor<4>>,
    activation: Activation,
) -> Values {
    let shape = conv::ConvShape::new(x.dims(), weight.dims(), options);
    let link = link(weight, bias, options, [scale, shift], activation);
    let series = match x {
        Values::Series(series) => series.then(link),
        Values::Scaled(Scaled { x, scale, shift, activation }) if conv::takes_prologue(shape, options) => {
            let wide = Wide::new(&Channels::of_scale_shift(primitive(scale), primitive(shift)));
            let prologue = |_, x: &[f32], y: &mut [MaybeUninit<f32>]| wide.pixels(x, activation, y);
            let y = link.run(Some(&prologue), primitive(x), residual.map(primitive).as_ref());
            return Values::Computed(Tensor::from_primitive::<Flex>(y));
        }
        x => Series::new(x.compute(), link),
    };
    if residual.is_none() && series.goes_on() {
        Values::Series(series)
    } else {
        Values::Computed(series.compute(residual))
    }
}

/// The scale goes into the weight, the shift into the bias.
fn link(
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
    scale_and_shift: [Tensor<1>; 2],
    activation: Activation,
) -> Link {
    let [scale, mut bias_and_shift] = scale_and_shift.map(|v| flex::elements(&primitive(v)).to_vec());
    if let Some(bias) = bias {
        let bias = primitive(bias);
        let terms = flex::elements(&bias).iter().zip(&scale);
        bias_and_shift.iter_mut().zip(terms).for_each(|(sum, (bias, scale))| *sum += bias * scale);
    }
    let mut weight = primitive(weight);
    let of_output = weight.layout().num_elements() / scale.len();
    for (weight, scale) in buffers::elements_mut(&mut weight).chunks_exact_mut(of_output).zip(&scale) {
        weight.iter_mut().for_each(|weight| *weight *= scale);
    }
    Link { weight, bias: bias_and_shift, options, activation }
}
