//! Evaluation-mode batch-norm, which is a scale and a shift a channel, and a convolution before it.

use std::mem::MaybeUninit;

use burn::backend::{Dispatch, Flex};
use burn::tensor::Tensor;

use super::passes::{Channels, Wide};
use super::{NormBackend, kernels, primitive};
use crate::{Activation, ConvOptions, Values, buffers, conv, flex};

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

/// [`Scaled`] behind a convolution, for tensors without a graph.
pub(crate) fn conv2d_scale_shift(
    x: Values,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
    [scale, shift]: [Tensor<1>; 2],
    residual: Option<Tensor<4>>,
    activation: Activation,
) -> Tensor<4> {
    // The scale goes into the weight, the shift into the bias.
    let [scale, mut bias_and_shift] =
        [scale, shift].map(|v| flex::elements(&flex::contiguous(primitive(v))).to_vec());
    if let Some(bias) = bias {
        let bias = flex::contiguous(primitive(bias));
        let terms = flex::elements(&bias).iter().zip(&scale);
        bias_and_shift.iter_mut().zip(terms).for_each(|(sum, (bias, scale))| *sum += bias * scale);
    }
    let mut weight = flex::contiguous(primitive(weight));
    let of_output = weight.layout().num_elements() / scale.len();
    for (weight, scale) in buffers::elements_mut(&mut weight).chunks_exact_mut(of_output).zip(&scale) {
        weight.iter_mut().for_each(|weight| *weight *= scale);
    }

    let residual = residual.map(|r| flex::contiguous(primitive(r)));
    let add = residual.as_ref().map(|residual| {
        let residual = flex::elements(residual);
        move |at: usize, y: &mut [f32]| kernels::add(y, &residual[at..][..y.len()], activation)
    });
    let shape = conv::ConvShape::new(x.dims(), weight.layout().shape().dims(), options);
    let (x, before) = match x {
        Values::Scaled(Scaled { x, scale, shift, activation }) if conv::takes_prologue(shape, options) => {
            let form = Channels::of_scale_shift(primitive(scale), primitive(shift));
            (x, Some((Wide::new(&form), activation)))
        }
        x => (x.compute(), None),
    };
    let prologue = before.as_ref().map(|(wide, activation)| {
        move |_, x: &[f32], y: &mut [MaybeUninit<f32>]| wide.pixels(x, *activation, y)
    });
    let around = conv::Around {
        prologue: prologue.as_ref().map(|f| f as &conv::Prologue<'_>),
        // Behind the addition it comes with that.
        activation: if add.is_some() { Activation::None } else { activation },
        epilogue: add.as_ref().map(|f| f as &conv::Epilogue<'_>),
        ..conv::Around::default()
    };
    let y = conv::forward(primitive(x), weight, Some(flex::vector(bias_and_shift)), options, around);
    Tensor::from_primitive::<Flex>(y)
}
