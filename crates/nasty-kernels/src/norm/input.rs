//! A batch-norm that the next convolution computes block by block while it reads its input.

use std::mem::MaybeUninit;
use std::sync::Arc;

use burn::backend::flex::FlexTensor;

use super::backward::correction;
use super::passes::{Channels, GradientSums, Wide};
use super::{Norm, Seam, Through, form, narrow};
use crate::Activation;

/// `activation((x − mean) · scale + shift)`, with the batch's mean and scale.
#[derive(Clone, Debug)]
pub(crate) struct InputNorm {
    /// 1 / √(variance + ε).
    precision: Vec<f64>,
    form: Channels,
    wide: Wide,
    activation: Activation,
    seam: Option<Arc<Seam>>,
}

impl InputNorm {
    pub(crate) fn new(norm: &Norm, gamma: &FlexTensor, beta: &FlexTensor) -> Self {
        let (precision, form) = form(norm, gamma, beta);
        let wide = Wide::new(&form);
        Self { precision, form, wide, activation: norm.activation, seam: norm.seam.clone() }
    }

    /// Normalises whole pixels. Writes every element of y.
    pub(crate) fn apply(&self, x: &[f32], y: &mut [MaybeUninit<f32>]) {
        self.wide.pixels(x, self.activation, y);
    }

    /// Collects what [`Self::back`] needs from the gradient of the batch-norm's result.
    pub(crate) fn sums(&self) -> GradientSums<'_> {
        GradientSums::new(&self.wide, self.activation)
    }

    /// From the gradient of the result: the gradient for x's node, and those of gamma and beta.
    pub(crate) fn back(
        &self,
        d: FlexTensor,
        x: &FlexTensor,
        sums: GradientSums<'_>,
    ) -> (FlexTensor, [Vec<f32>; 2]) {
        let (sum, mut product) = sums.total();
        let rows = (d.layout().num_elements() / sum.len()) as f64;
        let correction = correction(&self.wide, &self.form, &self.precision, rows, &sum, &product);
        let (x, wide) = (x.clone(), self.wide.clone());
        let through = Through { x, wide, activation: self.activation, correction: Some(correction) };
        let dx = match &self.seam {
            Some(seam) => seam.back(d, through),
            None => through.whole(d),
        };
        product.iter_mut().zip(&self.precision).for_each(|(s, p)| *s *= p);
        (dx, [narrow(&product), narrow(&sum)])
    }
}
