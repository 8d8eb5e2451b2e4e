//! Memory asked for before it is read.

use super::pack::CHUNK;
use crate::simd::Isa;

/// What the next part of a task reads, asked for line by line while this one is computed: else the core would wait for
/// memory between them.
#[derive(Clone, Copy, Default)]
pub(super) struct Ahead<'a> {
    parts: [&'a [f32]; 3],
    rate: usize,
}

impl<'a> Ahead<'a> {
    /// One part after the other, all of them while `lines` are counted.
    pub(super) fn of(parts: [&'a [f32]; 3], lines: usize) -> Self {
        let wanted: usize = parts.iter().map(|part| part.len().div_ceil(CHUNK)).sum();
        Self { parts, rate: wanted.div_ceil(lines.max(1)) }
    }

    /// Counts lines, and asks for as many cache lines as come to them.
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
