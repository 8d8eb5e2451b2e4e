//! What a convolution and the batch-norm after it share. In the forward pass the convolution takes the statistics of its result;
//! in the backward pass it may differentiate through the batch-norm, block by block while it reads its gradient.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use burn::backend::flex::FlexTensor;

use super::kernels;
use super::passes::{self, Moments, Wide, WideCorrection};
use crate::lock::lock;
use crate::{Activation, buffers, flex};

/// The shared state.
#[derive(Debug, Default)]
pub(crate) struct Seam {
    /// The moments of the convolution's result.
    moments: OnceLock<Arc<Moments>>,
    /// How many operations read that result.
    readers: AtomicUsize,
    /// How the convolution's gradient follows from the batch-norm's, if the convolution is to compute it.
    through: Mutex<Option<Through>>,
}

impl Seam {
    /// Called by the convolution's forward pass.
    pub(crate) fn leave_moments(&self, moments: Moments) {
        self.moments.get_or_init(|| Arc::new(moments));
    }

    pub(crate) fn moments(&self) -> Arc<Moments> {
        self.moments.get().expect("the forward pass leaves them").clone()
    }

    /// Must be called for every operation that reads the convolution's result.
    pub(crate) fn read(&self) {
        self.readers.fetch_add(1, Ordering::Relaxed);
    }

    /// The gradient to register for the convolution's node, from the gradient d of the batch-norm's result. It is d itself if
    /// the convolution can differentiate through the batch-norm, which it can if no other gradient will be added.
    pub(super) fn back(&self, d: FlexTensor, through: Through) -> FlexTensor {
        if self.readers.load(Ordering::Relaxed) > 1 {
            return through.whole(d);
        }
        *lock(&self.through) = Some(through);
        d
    }

    /// What the convolution must apply to its gradient, if anything.
    pub(crate) fn through(&self) -> Option<Through> {
        lock(&self.through).take()
    }
}

/// The gradient of `activation((x − mean) · scale + shift)` as a function of the gradient d of its result.
#[derive(Debug)]
pub(crate) struct Through {
    pub(super) x: FlexTensor,
    pub(super) wide: Wide,
    pub(super) activation: Activation,
    /// If mean and scale depend on x.
    pub(super) correction: Option<WideCorrection>,
}

impl Through {
    /// What [`Self::some`] reads besides d, of the same shape.
    pub(crate) fn reads(&self) -> &[f32] {
        flex::elements(&self.x)
    }

    /// The gradient of whole pixels, the first of which begins at `at`, on the calling thread. Writes every element of dx.
    pub(crate) fn some(&self, at: usize, d: &[f32], dx: &mut [MaybeUninit<f32>]) {
        let (x, correction) = (&self.reads()[at..][..d.len()], self.correction.as_ref());
        let correction = correction.map(WideCorrection::vectors);
        kernels::gradient_beside(d, x, self.wide.form(), self.activation, correction, dx);
    }

    /// The gradient of all pixels, in place of d if nothing else needs d.
    pub(crate) fn whole(&self, d: FlexTensor) -> FlexTensor {
        let Self { x, wide, activation, correction } = self;
        let (mut d, x) = (flex::contiguous(d), flex::elements(x));
        let correction = correction.as_ref().map(WideCorrection::vectors);
        if buffers::is_ours(&d) {
            passes::gradient(buffers::elements_mut(&mut d), x, wide, *activation, correction);
            return d;
        }
        let dx = passes::gradient_beside(flex::elements(&d), x, wide, *activation, correction);
        flex::from_vec::<4>(dx, flex::dims(&d))
    }
}
