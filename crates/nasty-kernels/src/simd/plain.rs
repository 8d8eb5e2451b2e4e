//! Vectors as arrays, which the compiler maps to the registers of any target.

use super::element::{high, low};
use super::{Isa, Pair};

/// Arrays of four: one SSE or NEON register.
pub(crate) struct Plain;

const LANES: usize = 4;

/// a b + c, fused only if the target has an instruction for it: the library function is a hundred times slower.
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn map(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    [f(0), f(1), f(2), f(3)]
}

impl Isa for Plain {
    const LANES: usize = LANES;
    const IMAGES: usize = 4;
    type V = [f32; LANES];

    #[inline(always)]
    unsafe fn zero() -> Self::V {
        [0.0; LANES]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: valid for LANES values by the trait's contract.
        unsafe { from.cast::<Self::V>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self::V {
        // SAFETY: valid for one value by the trait's contract.
        [unsafe { *from }; LANES]
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::V) {
        // SAFETY: valid for LANES values by the trait's contract.
        unsafe { to.cast::<Self::V>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, len: usize) -> Self::V {
        // SAFETY: valid for the first `len` values by the trait's contract.
        map(|i| if i < len { unsafe { *from.add(i) } } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn store_first(to: *mut f32, len: usize, v: Self::V) {
        for (i, v) in v.iter().take(len).enumerate() {
            // SAFETY: valid for the first `len` values by the trait's contract.
            unsafe { *to.add(i) = *v }
        }
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        map(|i| a[i] + b[i])
    }

    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        map(|i| a[i] - b[i])
    }

    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        map(|i| multiply_add(a[i], b[i], c[i]))
    }

    #[inline(always)]
    unsafe fn clamp(v: Self::V, low: Self::V, high: Self::V) -> Self::V {
        map(|i| {
            let v = if v[i] < low[i] { low[i] } else { v[i] };
            if v > high[i] { high[i] } else { v }
        })
    }

    #[inline(always)]
    unsafe fn dot(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        map(|i| {
            let (a, b) = (Pair(a[i].to_bits()), Pair(b[i].to_bits()));
            multiply_add(high(a), high(b), multiply_add(low(a), low(b), c[i]))
        })
    }
}
