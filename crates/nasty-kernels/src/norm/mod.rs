//! Batch-norm, scale and shift, residual addition and activation on the CPU backend: how Burn calls the kernels.

mod backward;
mod input;
mod kernels;
mod lanes;
mod passes;
mod scaled;
mod seam;

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, NodeGuard, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use self::backward::{ActivationBackward, AffineBackward, Saved};
pub(crate) use self::input::InputNorm;
pub(crate) use self::kernels::{activate as activate_block, add as add_block};
pub(crate) use self::passes::{Channels, MomentSums, Moments, Wide};
pub(crate) use self::scaled::Scaled;
pub(crate) use self::seam::{Seam, Through};
use crate::flex::Maybe;
use crate::{Activation, buffers, flex};

/// The operations that Burn dispatches.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait NormBackend: Backend {
    fn nasty_normalise(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        #[extension_type] residual: Maybe<Self>,
        norm: Norm,
    ) -> FloatTensor<Self>;

    fn nasty_scale_shift(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        #[extension_type] residual: Maybe<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    fn nasty_activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;
}

/// A training-mode batch-norm with its activation, without the tensors.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    /// Of x.
    pub(crate) moments: Arc<Moments>,
    pub(crate) epsilon: f64,
    pub(crate) activation: Activation,
    /// Shared with the convolution before, if x is the result of one.
    pub(crate) seam: Option<Arc<Seam>>,
}

/// `activation(batch_norm(x))`, not computed yet.
#[derive(Clone, Debug)]
pub(crate) struct Normed {
    pub(crate) x: Tensor<4>,
    pub(crate) gamma: Tensor<1>,
    pub(crate) beta: Tensor<1>,
    pub(crate) norm: Norm,
}

impl Normed {
    /// Must be called before an operation reads x.
    pub(crate) fn read(&self) {
        if let Some(seam) = &self.norm.seam {
            seam.read();
        }
    }

    /// The batch's mean and biased variance.
    pub(crate) fn statistics(&self) -> [Tensor<1>; 2] {
        let Moments { mean, variance } = &*self.norm.moments;
        [mean, variance].map(|values| {
            let tensor = Tensor::from_primitive::<Flex>(flex::vector(narrow(values)));
            match self.x.gradient_checkpointing_strategy() {
                Some(strategy) => Tensor::from_inner(tensor).with_gradient_checkpointing_strategy(strategy),
                None => tensor,
            }
        })
    }

    /// `activation(batch_norm(x) + residual)`.
    pub(crate) fn compute(self, residual: Option<Tensor<4>>) -> Tensor<4> {
        self.read();
        Tensor::from_dispatch(<Dispatch as NormBackend>::nasty_normalise(
            self.x.into_dispatch(),
            self.gamma.into_dispatch(),
            self.beta.into_dispatch(),
            residual.into(),
            self.norm,
        ))
    }
}

/// The moments of x `[n, h, w, c]`.
pub(crate) fn moments(x: &Tensor<4>) -> Moments {
    let c = x.dims()[3];
    let x = if x.device().is_autodiff() { x.clone().inner() } else { x.clone() };
    passes::moments(flex::elements(&flex::primitive(x)), c)
}

pub(crate) fn activate(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as NormBackend>::nasty_activate(x.into_dispatch(), activation))
}

/// 1 / √(variance + ε), and the normal form.
fn form(norm: &Norm, gamma: &FlexTensor, beta: &FlexTensor) -> (Vec<f64>, Channels) {
    let Norm { moments, epsilon, .. } = norm;
    let precision: Vec<f64> = moments.variance.iter().map(|v| 1.0 / (v + epsilon).sqrt()).collect();
    let [gamma, beta] = [gamma, beta].map(|vector| flex::contiguous(vector.clone()));
    let scale = flex::elements(&gamma).iter().zip(&precision).map(|(g, p)| (f64::from(*g) * p) as f32);
    let form = Channels {
        mean: narrow(&moments.mean),
        scale: scale.collect(),
        shift: flex::elements(&beta).to_vec(),
    };
    (precision, form)
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

/// y, in place of x if nothing else needs x.
fn apply(x: FlexTensor, residual: Option<FlexTensor>, form: &Channels, act: Activation) -> FlexTensor {
    let (mut x, residual) = (flex::contiguous(x), residual.map(flex::contiguous));
    if !buffers::is_ours(&x) {
        return forward(&x, residual.as_ref(), form, act);
    }
    let residual = residual.as_ref().map(flex::elements);
    passes::forward_in_place(buffers::elements_mut(&mut x), residual, &Wide::new(form), act);
    x
}

/// y in memory of its own.
fn forward(x: &FlexTensor, residual: Option<&FlexTensor>, form: &Channels, act: Activation) -> FlexTensor {
    let y = passes::forward(flex::elements(x), residual.map(flex::elements), &Wide::new(form), act);
    flex::from_vec::<4>(y, flex::dims(x))
}

impl Channels {
    pub(crate) fn of_scale_shift(scale: FlexTensor, shift: FlexTensor) -> Self {
        let [scale, shift] =
            [scale, shift].map(flex::contiguous).map(|vector| flex::elements(&vector).to_vec());
        Self { mean: vec![0.0; scale.len()], scale, shift }
    }
}

impl NormBackend for Flex {
    fn nasty_normalise(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        residual: Maybe<Self>,
        norm: Norm,
    ) -> FlexTensor {
        let (_, form) = form(&norm, &gamma, &beta);
        apply(x, residual.into_option(), &form, norm.activation)
    }

    fn nasty_scale_shift(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        residual: Maybe<Self>,
        activation: Activation,
    ) -> FlexTensor {
        apply(x, residual.into_option(), &Channels::of_scale_shift(scale, shift), activation)
    }

    fn nasty_activate(x: FlexTensor, activation: Activation) -> FlexTensor {
        let mut x = flex::contiguous(x);
        passes::activate(buffers::elements_mut(&mut x), activation);
        x
    }
}

impl<C: CheckpointStrategy> NormBackend for Autodiff<Flex, C> {
    fn nasty_normalise(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: Maybe<Self>,
        norm: Norm,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (gamma, gamma_node), (beta, beta_node)) =
            (x.into_parts(), gamma.into_parts(), beta.into_parts());
        let (precision, form) = form(&norm, &gamma, &beta);
        let precision = Some(precision);
        let Norm { activation, seam, .. } = norm;
        let saved = Saved { x: flex::contiguous(x), y: None, form, precision, activation, seam };
        finish::<C>(saved, [x_node, gamma_node, beta_node], residual.into_option())
    }

    fn nasty_scale_shift(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: Maybe<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (scale, scale_node), (shift, shift_node)) =
            (x.into_parts(), scale.into_parts(), shift.into_parts());
        let form = Channels::of_scale_shift(scale, shift);
        let saved = Saved { x: flex::contiguous(x), y: None, form, precision: None, activation, seam: None };
        finish::<C>(saved, [x_node, scale_node, shift_node], residual.into_option())
    }

    fn nasty_activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = Flex::nasty_activate(x, activation);
        match ActivationBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((y.clone(), activation), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}

/// Computes y from what the backward pass will need, and adds the operation to the graph.
fn finish<C: CheckpointStrategy>(
    mut saved: Saved,
    [x, scale, shift]: [NodeGuard; 3],
    residual: Option<FloatTensor<Autodiff<Flex, C>>>,
) -> FloatTensor<Autodiff<Flex, C>> {
    match residual {
        None => match AffineBackward.prepare::<C>([x, scale, shift]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let y = forward(&saved.x, None, &saved.form, saved.activation);
                prepared.finish(saved, y)
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(apply(saved.x, None, &saved.form, saved.activation))
            }
        },
        Some(residual) => {
            let (residual, node) = residual.into_parts();
            match AffineBackward.prepare::<C>([x, scale, shift, node]).compute_bound().stateful() {
                OpsKind::Tracked(prepared) => {
                    let residual = flex::contiguous(residual);
                    let y = forward(&saved.x, Some(&residual), &saved.form, saved.activation);
                    // The backward pass reads y only to mask the gradient of the activation.
                    saved.y = (saved.activation != Activation::None).then(|| y.clone());
                    prepared.finish(saved, y)
                }
                OpsKind::UnTracked(prepared) => {
                    prepared.finish(apply(saved.x, Some(residual), &saved.form, saved.activation))
                }
            }
        }
    }
}
