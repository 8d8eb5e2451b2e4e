//! Prefetching what is computed next.

use super::pack::CHUNK;
use crate::simd::Isa;

/// What the next part of a task reads. It is prefetched line by line while the current part is computed, so that the core
/// does not wait for memory in between.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ahead<'a> {
    parts: [&'a [f32]; 3],
    rate: usize,
}

impl<'a> Ahead<'a> {
    /// Prefetches one part after the other, spread evenly over `lines` lines of computation.
    pub(super) fn of(parts: [&'a [f32]; 3], lines: usize) -> Self {
        let wanted: usize = parts.iter().map(|part| part.len().div_ceil(CHUNK)).sum();
        Self { parts, rate: wanted.div_ceil(lines.max(1)) }
    }

    /// Counts lines of computation, and prefetches their share.
    #[inline(always)]
    pub(super) fn lines<I: Isa>(&mut self, count: usize) {
        let [now, then, last] = &mut self.parts;
        let some = now.len().min(count * self.rate * CHUNK);
        for line in now[..some].chunks(CHUNK) {
            I::prefetch_far(line.as_ptr());
        }
        *now = &now[some..];
        if now.is_empty() {
            *now = std::mem::replace(then, std::mem::take(last));
        }
    }
}
