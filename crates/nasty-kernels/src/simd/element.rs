//! The factors that the kernels multiply: f32, or pairs of bfloat16.

use super::Isa;

/// Two bfloat16, the first in the low half: one lane of a vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Pair(pub(crate) u32);

/// The factors in a lane of a vector: four bytes.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    /// Values in an element.
    const VALUES: usize;

    /// Packs the first value and, if an element has two, the second.
    fn pack(first: f32, second: f32) -> Self;

    /// [`Self::pack`] in all lanes.
    ///
    /// # Safety
    /// As of [`Isa`].
    unsafe fn pack_lanes<I: Isa>(first: I::V, second: I::V) -> I::V;

    /// `LANES` elements, each of neighbouring values.
    ///
    /// # Safety
    /// As of [`Isa`]; `from` is valid for `LANES * VALUES` values.
    unsafe fn pack_neighbours<I: Isa>(from: *const f32) -> I::V;

    /// # Safety
    /// As of [`Isa`].
    unsafe fn multiply_add<I: Isa>(a: I::V, b: I::V, c: I::V) -> I::V;
}

impl Element for f32 {
    const VALUES: usize = 1;

    #[inline(always)]
    fn pack(first: f32, _: f32) -> Self {
        first
    }

    #[inline(always)]
    unsafe fn pack_lanes<I: Isa>(first: I::V, _: I::V) -> I::V {
        first
    }

    #[inline(always)]
    unsafe fn pack_neighbours<I: Isa>(from: *const f32) -> I::V {
        // SAFETY: the caller's promise.
        unsafe { I::load(from) }
    }

    #[inline(always)]
    unsafe fn multiply_add<I: Isa>(a: I::V, b: I::V, c: I::V) -> I::V {
        // SAFETY: the caller's promise.
        unsafe { I::fma(a, b, c) }
    }
}

impl Element for Pair {
    const VALUES: usize = 2;

    #[inline(always)]
    fn pack(first: f32, second: f32) -> Self {
        Self(round_to_bf16(first) >> 16 | round_to_bf16(second) & 0xffff_0000)
    }

    #[inline(always)]
    unsafe fn pack_lanes<I: Isa>(first: I::V, second: I::V) -> I::V {
        // SAFETY: the caller's promise.
        unsafe { I::pairs(first, second) }
    }

    #[inline(always)]
    unsafe fn pack_neighbours<I: Isa>(from: *const f32) -> I::V {
        // SAFETY: the caller's promise.
        unsafe { I::neighbours(from) }
    }

    #[inline(always)]
    unsafe fn multiply_add<I: Isa>(a: I::V, b: I::V, c: I::V) -> I::V {
        // SAFETY: the caller's promise.
        unsafe { I::dot(a, b, c) }
    }
}

/// The bits of an f32 rounded to bfloat16 (to nearest, ties to even) in the upper half; the lower half is garbage.
#[inline(always)]
pub(crate) fn round_to_bf16(v: f32) -> u32 {
    let bits = v.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    // Rounding up must not turn a NaN into an infinity or a number.
    if v.is_nan() { bits | 0x0040_0000 } else { rounded }
}

/// The first bfloat16 of a pair.
#[inline(always)]
pub(super) fn low(pair: Pair) -> f32 {
    f32::from_bits(pair.0 << 16)
}

/// The second bfloat16 of a pair.
#[inline(always)]
pub(super) fn high(pair: Pair) -> f32 {
    f32::from_bits(pair.0 & 0xffff_0000)
}

#[cfg(test)]
mod tests {
    use super::{Element, Pair, high, low};

    #[test]
    fn rounds_to_nearest_even() {
        let round = |v| (low(Pair::pack(v, 0.0)), high(Pair::pack(0.0, v)));
        // bfloat16 has 8 significant bits: between 1 and 2 its numbers are 2^-7 apart.
        let step = 2f32.powi(-7);
        for (v, expected) in [
            (1.0, 1.0),
            (1.0 + 0.5 * step, 1.0),
            (1.0 + 0.51 * step, 1.0 + step),
            (1.0 + 1.5 * step, 1.0 + 2.0 * step),
            (-1.0 - 1.5 * step, -1.0 - 2.0 * step),
            (0.0, 0.0),
            (f32::MAX, f32::INFINITY),
            (f32::INFINITY, f32::INFINITY),
        ] {
            assert_eq!(round(v), (expected, expected), "{v}");
        }
        assert!(round(f32::NAN).0.is_nan() && round(f32::from_bits(0x7f80_0001)).1.is_nan());
    }
}
