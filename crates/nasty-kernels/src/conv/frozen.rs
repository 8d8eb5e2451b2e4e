//! A convolution followed by evaluation-mode batch-norm, which is a scale and a shift per channel: a convolution with other
//! weights and bias.

use std::mem::MaybeUninit;

use burn::backend::Flex;
use burn::tensor::Tensor;

use super::compute::Computation;
use super::geometry::ConvShape;
use super::series::{Link, Series};
use crate::flex::primitive;
use crate::norm::{Channels, Scaled, Wide};
use crate::{Activation, ConvOptions, Values, buffers, flex};

/// `activation(scale conv(x) + shift + residual)` of tensors without a graph. It is computed now if there is a residual, or if
/// no convolution that follows could be computed together with it.
pub(crate) fn conv2d_scale_shift(
    x: Values,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
    [scale, shift]: [Tensor<1>; 2],
    residual: Option<Tensor<4>>,
    activation: Activation,
) -> Values {
    let shape = ConvShape::new(x.dims(), weight.dims(), options);
    let takes_prologue = Computation::new(shape, options.precision).choice().takes_prologue();
    let link = link(weight, bias, options, [scale, shift], activation);
    let series = match x {
        Values::Series(series) => series.then(link),
        Values::Scaled(Scaled { x, scale, shift, activation }) if takes_prologue => {
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

/// Multiplies the scale into the weight, and adds the shift to the bias.
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
