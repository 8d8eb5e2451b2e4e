//! Buffers that a kernel fills or changes in parallel.

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;

/// A vector of `len` elements that `fill` writes, each of them.
#[allow(unsafe_code)]
pub(crate) fn filled<T: Copy>(len: usize, fill: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut values = Vec::with_capacity(len);
    fill(&mut values.spare_capacity_mut()[..len]);
    // SAFETY: the capacity is at least `len`, and `fill` has written all `len` elements: every caller passes kernels
    // that go through the whole slice (the reference tests would see what was left).
    unsafe { values.set_len(len) };
    values
}

/// The elements of a contiguous tensor, to change in place; copied first if they are shared.
pub(crate) fn elements_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    let len = tensor.layout().num_elements();
    &mut tensor.storage_mut()[..len]
}

/// Whether [`elements_mut`] does not have to copy.
pub(crate) fn is_ours(tensor: &FlexTensor) -> bool {
    tensor.is_unique() && tensor.is_contiguous() && tensor.layout().start_offset() == 0
}
