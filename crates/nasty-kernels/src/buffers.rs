//! Buffers that a kernel fills or changes in parallel.
#![allow(unsafe_code, reason = "a new vector is not filled with zeros first")]

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;

/// A vector of `len` elements that `fill` writes. If `fill` panics, the vector is dropped as an empty one.
///
/// # Safety
/// `fill` must initialise every element of the slice that it is given, unless it panics.
pub(crate) unsafe fn filled<T: Copy>(len: usize, fill: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut values = Vec::with_capacity(len);
    fill(&mut values.spare_capacity_mut()[..len]);
    // SAFETY: the capacity is at least `len`, and by the caller's promise `fill` has initialised the first `len` elements.
    unsafe { values.set_len(len) };
    values
}

/// The elements of a contiguous tensor, to change in place; copied first if they are shared.
pub(crate) fn elements_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    let len = tensor.layout().num_elements();
    &mut tensor.storage_mut()[..len]
}

/// Whether [`elements_mut`] can change the elements without copying them.
pub(crate) fn is_ours(tensor: &FlexTensor) -> bool {
    tensor.is_unique() && tensor.is_contiguous() && tensor.layout().start_offset() == 0
}
