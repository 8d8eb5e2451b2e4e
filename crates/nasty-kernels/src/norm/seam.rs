//! Where a convolution and the batch-norm behind it meet: forward the convolution takes the statistics of its result, and
//! backward it may go the way through the batch-norm, part by part as it reads its gradient.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use burn::backend::flex::FlexTensor;

use super::kernels;
use super::passes::{self, Moments, Wide, WideCorrection};
use crate::lock::lock;
use crate::{Activation, buffers, flex};

/// What both leave each other.
#[derive(Debug, Default)]
pub(crate) struct Seam {
    /// Of the convolution's result.
    moments: OnceLock<Arc<Moments>>,
    /// Operations that read that.
    readers: AtomicUsize,
    /// From the batch-norm's gradient to the convolution's.
    through: Mutex<Option<Through>>,
}

impl Seam {
    /// What the convolution's forward pass leaves.
    pub(crate) fn leave_moments(&self, moments: Moments) {
        self.moments.get_or_init(|| Arc::new(moments));
    }

    pub(crate) fn moments(&self) -> Arc<Moments> {
        self.moments.get().expect("the forward pass leaves them").clone()
    }

    /// To be told of every operation that reads the convolution's result.
    pub(crate) fn read(&self) {
        self.readers.fetch_add(1, Ordering::Relaxed);
    }

    /// The gradient that the convolution's node gets of d, which is yet to go through the batch-norm. It stays as it is if
    /// the convolution can do that: if no other gradient will be added to it.
    pub(super) fn back(&self, d: FlexTensor, through: Through) -> FlexTensor {
        if self.readers.load(Ordering::Relaxed) > 1 {
            return through.whole(d);
        }
        *lock(&self.through) = Some(through);
        d
    }

    /// What the convolution's gradient is yet to go through.
    pub(crate) fn through(&self) -> Option<Through> {
        lock(&self.through).take()
    }
}

/// The way of a gradient back through `activation((x − mean) · scale + shift)`.
#[derive(Debug)]
pub(crate) struct Through {
    pub(super) x: FlexTensor,
    pub(super) wide: Wide,
    pub(super) activation: Activation,
    /// If mean and scale depend on x.
    pub(super) correction: Option<WideCorrection>,
}

impl Through {
    /// What [`Self::some`] reads beside d, of its shape.
    pub(crate) fn reads(&self) -> &[f32] {
        flex::elements(&self.x)
    }

    /// Of whole pixels, the first of which begins at `at`; by one thread.
    pub(crate) fn some(&self, at: usize, d: &[f32], dx: &mut [MaybeUninit<f32>]) {
        let (x, correction) = (&self.reads()[at..][..d.len()], self.correction.as_ref());
        let correction = correction.map(WideCorrection::vectors);
        kernels::gradient_beside(d, x, self.wide.form(), self.activation, correction, dx);
    }

    /// Of all pixels, in d's place if nobody else needs that.
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
