//! The backward passes, and what they save from the forward pass: x, the vectors of the channels, and y only if a residual was
//! added (otherwise the activation's mask is computed again from x).

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;

use super::passes::{self, Channels, Wide, WideCorrection};
use super::{Seam, Through, narrow};
use crate::{Activation, buffers, flex};

/// What the backward pass of `y = activation((x − mean) · scale + shift + residual)` needs.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    pub(super) x: FlexTensor,
    /// With a residual and an activation.
    pub(super) y: Option<FlexTensor>,
    pub(super) form: Channels,
    /// 1 / √(variance + ε), if mean and scale are the batch's and depend on x.
    pub(super) precision: Option<Vec<f64>>,
    pub(super) activation: Activation,
    pub(super) seam: Option<Arc<Seam>>,
}

/// Parents: x, gamma or scale, beta or shift, and the residual if there is one.
#[derive(Debug)]
pub(super) struct AffineBackward;

impl<const N: usize> Backward<Flex, N> for AffineBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut d = flex::contiguous(grads.consume::<Flex>(&ops.node));
        let Saved { x: x_tensor, y, form, precision, mut activation, seam } = ops.state;
        let parent = |i: usize| ops.parents.get(i).and_then(Option::as_ref);
        let (x, wide) = (flex::elements(&x_tensor), Wide::new(&form));

        // With a residual, d becomes the gradient of the residual; without one, the kernels apply the mask.
        let sums_wanted = precision.is_some() || parent(1).is_some() || parent(2).is_some();
        let sums = match (&y, sums_wanted) {
            (Some(y), true) => {
                let y = flex::elements(y);
                Some(passes::mask_and_sum(buffers::elements_mut(&mut d), y, x, &wide, activation))
            }
            (Some(y), false) => {
                passes::mask(buffers::elements_mut(&mut d), flex::elements(y), activation);
                None
            }
            (None, true) => Some(passes::sums(flex::elements(&d), x, &wide, activation)),
            (None, false) => None,
        };
        if y.is_some() {
            activation = Activation::None;
        }
        if let Some(residual) = parent(3) {
            grads.register::<Flex>(residual.id, d.clone());
        }
        if let Some(x_node) = parent(0) {
            let correction = precision.as_ref().zip(sums.as_ref()).map(|(precision, (sum, product))| {
                correction(&wide, &form, precision, (x.len() / sum.len()) as f64, sum, product)
            });
            let through = Through { x: x_tensor.clone(), wide, activation, correction };
            let dx = match seam {
                Some(seam) => seam.back(d, through),
                None => through.whole(d),
            };
            grads.register::<Flex>(x_node.id, dx);
        }
        if let Some((sum, mut product)) = sums {
            if let Some(precision) = precision {
                product.iter_mut().zip(precision).for_each(|(s, p)| *s *= p);
            }
            for (i, gradient) in [(1, product), (2, sum)] {
                if let Some(node) = parent(i) {
                    grads.register::<Flex>(node.id, flex::vector(narrow(&gradient)));
                }
            }
        }
    }
}

/// Through the batch's own statistics (Ioffe & Szegedy 2015):
/// `dx = scale (d − Σd / rows − (x − mean) precision² Σd(x − mean) / rows)`.
pub(super) fn correction(
    wide: &Wide,
    form: &Channels,
    precision: &[f64],
    rows: f64,
    sum: &[f64],
    product: &[f64],
) -> WideCorrection {
    let scaled = |sums: &[f64]| -> Vec<f64> {
        form.scale.iter().zip(sums).map(|(a, s)| -f64::from(*a) * s / rows).collect()
    };
    let slope: Vec<f64> = scaled(product).iter().zip(precision).map(|(s, p)| s * p * p).collect();
    WideCorrection::new(&wide.lanes, &narrow(&slope), &narrow(&scaled(sum)))
}

/// Its state is y.
#[derive(Debug)]
pub(super) struct ActivationBackward;

impl Backward<Flex, 1> for ActivationBackward {
    type State = (FlexTensor, Activation);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut d = flex::contiguous(grads.consume::<Flex>(&ops.node));
        let (y, activation) = ops.state;
        passes::mask(buffers::elements_mut(&mut d), flex::elements(&y), activation);
        if let [Some(x)] = &ops.parents {
            grads.register::<Flex>(x.id, d);
        }
    }
}
