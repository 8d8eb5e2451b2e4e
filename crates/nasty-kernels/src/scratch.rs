//! Buffers that a thread keeps from one kernel to the next, because fresh pages cost more than what is written to them.
#![allow(unsafe_code, reason = "a buffer of cache lines seen as f32 or as pairs of bfloat16")]

use std::cell::RefCell;

use crate::simd::Element;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; 16]);

thread_local! {
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that starts on a cache line and is kept for reuse when dropped. Its contents are what the last user left.
pub(crate) struct Scratch {
    lines: Vec<Line>,
    /// Whether the buffer is kept for the next kernel.
    reused: bool,
}

impl Scratch {
    /// A buffer of at least `len` elements of four bytes.
    pub(crate) fn take(len: usize) -> Self {
        let count = len.div_ceil(16);
        let free = FREE.with_borrow_mut(|free| {
            // The smallest that is large enough; otherwise any, which is replaced by a larger one.
            let best = (0..free.len()).min_by_key(|&i| (free[i].len() < count, free[i].len()))?;
            Some(free.swap_remove(best))
        });
        let mut lines = free.unwrap_or_default();
        if lines.len() < count {
            lines = Vec::new();
            lines.resize(count, Line([0; 16]));
        }
        Self { lines, reused: true }
    }

    /// A buffer that lives longer than a kernel: as long as asked for, and freed when dropped.
    pub(crate) fn owned(len: usize) -> Self {
        Self { lines: vec![Line([0; 16]); len.div_ceil(16)], reused: false }
    }

    /// All elements, which may be more than were asked for.
    pub(crate) fn elements<E: Element>(&mut self) -> &mut [E] {
        const { assert!(size_of::<E>() == 4 && align_of::<E>() == 4) };
        // SAFETY: the size and alignment above; f32 and pairs of bfloat16 have no invalid bits.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * 16) }
    }

    /// [`Self::elements`] to read.
    pub(crate) fn read<E: Element>(&self) -> &[E] {
        const { assert!(size_of::<E>() == 4 && align_of::<E>() == 4) };
        // SAFETY: as in `elements`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * 16) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        if !self.reused {
            return;
        }
        // At the end of a thread its list may be gone.
        let _ = FREE.try_with(|free| free.borrow_mut().push(lines));
    }
}
