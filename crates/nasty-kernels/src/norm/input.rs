//! A batch-norm that is computed by the convolution behind it, part by part as that reads.

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;

use super::backward::correction;
use super::passes::{self, Channels, GradientSums, Wide};
use super::{Norm, form, narrow};
use crate::Activation;

/// `activation((x − mean) · scale + shift)` of the batch's mean and scale.
#[derive(Clone, Debug)]
pub(crate) struct InputNorm {
    /// 1 / √(variance + ε).
    precision: Vec<f64>,
    form: Channels,
    wide: Wide,
    activation: Activation,
}

impl InputNorm {
    pub(crate) fn new(norm: &Norm, gamma: &FlexTensor, beta: &FlexTensor) -> Self {
        let (precision, form) = form(norm, gamma, beta);
        let wide = Wide::new(&form);
        Self { precision, form, wide, activation: norm.activation }
    }

    /// Of whole pixels.
    pub(crate) fn apply(&self, x: &[f32], y: &mut [MaybeUninit<f32>]) {
        self.wide.pixels(x, self.activation, y);
    }

    /// What [`Self::through`] needs of the gradient of the batch-norm's result.
    pub(crate) fn sums(&self) -> GradientSums<'_> {
        GradientSums::new(&self.wide, self.activation)
    }

    /// Makes the gradient of the result that of x, and gives those of gamma and beta.
    pub(crate) fn through(&self, d: &mut [f32], x: &[f32], sums: GradientSums<'_>) -> [Vec<f32>; 2] {
        let (sum, mut product) = sums.total();
        let rows = (x.len() / sum.len()) as f64;
        let correction = correction(&self.wide, &self.form, &self.precision, rows, &sum, &product);
        passes::gradient(d, x, &self.wide, self.activation, Some(&correction));
        product.iter_mut().zip(&self.precision).for_each(|(s, p)| *s *= p);
        [narrow(&product), narrow(&sum)]
    }
}
