//! What is done to finished sums while they are in registers.

use super::output::Shared;
use crate::simd::Isa;

/// The last steps of a result, before and after it is stored.
#[derive(Clone, Copy, Default)]
pub(crate) struct Finish<'a> {
    /// Added to the result; laid out as y.
    pub(crate) residual: Option<&'a [f32]>,
    /// Bounds of the activation that follows.
    pub(crate) bounds: Option<[f32; 2]>,
    /// A scaled and shifted copy.
    pub(crate) second: Option<Second<'a>>,
}

/// `activation(scale y + shift)`, stored besides y.
#[derive(Clone, Copy)]
pub(crate) struct Second<'a> {
    /// One value for each channel, in the order of the tiles and padded as they are.
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) bounds: Option<[f32; 2]>,
    /// Laid out as y.
    pub(crate) y: Shared<'a>,
}

impl Finish<'_> {
    /// Whether only bounds apply.
    #[inline(always)]
    pub(super) fn is_plain(&self) -> bool {
        self.residual.is_none() && self.second.is_none()
    }

    /// Finishes and stores the first `len` lanes (all, if there are fewer) to `to`, which is element `at` of y; `padded` is the
    /// first lane's channel in the order of the tiles.
    ///
    /// # Safety
    /// As of [`Isa`]; `to` is valid for these lanes, and so are element `at` of the residual and of the second result, which
    /// no other thread writes.
    #[inline(always)]
    pub(super) unsafe fn store<I: Isa>(&self, v: I::V, to: *mut f32, at: usize, padded: usize, len: usize) {
        // SAFETY: the caller's promise; vectors of channels are padded to whole vectors.
        unsafe {
            let mut v = v;
            if let Some(residual) = self.residual {
                let from = residual.as_ptr().add(at);
                v = I::add(v, if len < I::LANES { I::load_first(from, len) } else { I::load(from) });
            }
            v = bound::<I>(v, &self.bounds);
            store::<I>(to, v, len);
            if let Some(second) = &self.second {
                let scale = I::load(second.scale[padded..][..I::LANES].as_ptr());
                let shift = I::load(second.shift[padded..][..I::LANES].as_ptr());
                let v = bound::<I>(I::fma(v, scale, shift), &second.bounds);
                store::<I>(second.y.at(at, len.min(I::LANES)), v, len);
            }
        }
    }
}

#[inline(always)]
unsafe fn bound<I: Isa>(v: I::V, bounds: &Option<[f32; 2]>) -> I::V {
    match bounds {
        // SAFETY: the caller's promise.
        Some([low, high]) => unsafe { I::clamp(v, I::splat(low), I::splat(high)) },
        None => v,
    }
}

#[inline(always)]
unsafe fn store<I: Isa>(to: *mut f32, v: I::V, len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if len < I::LANES {
            I::store_first(to, len, v);
        } else {
            I::store(to, v);
        }
    }
}
