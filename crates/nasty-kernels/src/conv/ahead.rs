//! Memory asked for before it is read.

use super::pack::CHUNK;
use crate::simd::Isa;

/// What the next part of a task reads, asked for line by line while this one is computed: else the core would wait for
/// memory between them.
#[derive(Clone, Copy, Default)]
pub(super) struct Ahead<'a>([&'a [f32]; 2]);

impl<'a> Ahead<'a> {
    /// The one, then the other.
    pub(super) fn of(now: &'a [f32], then: &'a [f32]) -> Self {
        Self([now, then])
    }

    /// Asks for the next `count` cache lines.
    #[inline(always)]
    pub(super) fn lines<I: Isa>(&mut self, count: usize) {
        let Self([now, then]) = self;
        let some = now.len().min(count * CHUNK);
        for line in now[..some].chunks(CHUNK) {
            I::prefetch_far(line.as_ptr());
        }
        *now = &now[some..];
        if now.is_empty() {
            *now = std::mem::take(then);
        }
    }
}
