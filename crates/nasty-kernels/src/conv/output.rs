//! Results that several threads write, each a part of its own.

use std::marker::PhantomData;

/// A new array. Every element must be written before [`Output::finish`].
pub(super) struct Output {
    data: Vec<f32>,
    len: usize,
}

/// Access for several tasks to an [`Output`] or an array.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is only used through `Shared::at`, whose callers write disjoint parts.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl Output {
    pub(super) fn new(len: usize) -> Self {
        Self { data: Vec::with_capacity(len), len }
    }

    pub(super) fn share(&mut self) -> Shared<'_> {
        Shared { start: self.data.as_mut_ptr(), len: self.len, lifetime: PhantomData }
    }

    /// # Safety
    /// All elements have been written.
    pub(super) unsafe fn finish(mut self) -> Vec<f32> {
        // SAFETY: the capacity is at least `len`, and the caller has written all elements.
        unsafe { self.data.set_len(self.len) };
        self.data
    }
}

impl<'a> Shared<'a> {
    /// Access to an existing array.
    pub(crate) fn of(array: &'a mut [f32]) -> Self {
        Self { start: array.as_mut_ptr(), len: array.len(), lifetime: PhantomData }
    }

    /// Access to `len` elements from `at` on.
    pub(crate) fn part(self, at: usize, len: usize) -> Self {
        Self { start: self.at(at, len), len, ..self }
    }

    /// A pointer to `len` elements from `at` on.
    #[inline(always)]
    pub(crate) fn at(self, at: usize, len: usize) -> *mut f32 {
        assert!(at <= self.len && len <= self.len - at, "{len} elements from {at} of {}", self.len);
        self.start.wrapping_add(at)
    }
}
