//! AVX2 and AVX-512.

use std::arch::x86_64::*;

use super::{Isa, Job};

#[target_feature(enable = "avx2,fma")]
pub(super) fn avx2<J: Job>(job: J) -> J::Output {
    job.run::<Avx2>()
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) fn avx512<J: Job>(job: J) -> J::Output {
    job.run::<Avx512>()
}

#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
pub(super) fn avx512bf16<J: Job>(job: J) -> J::Output {
    job.run::<Avx512Bf16>()
}

/// Ones in the first `len` lanes.
#[inline(always)]
unsafe fn avx2_mask(len: usize) -> __m256i {
    // SAFETY: the caller's machine has AVX2.
    unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(len as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
}

/// Ones for the first `len` lanes.
#[inline(always)]
fn avx512_mask(len: usize) -> __mmask16 {
    ((1_u32 << len.min(16)) - 1) as __mmask16
}

pub(crate) struct Avx2;

impl Isa for Avx2 {
    const LANES: usize = 8;
    const IMAGES: usize = 4;
    type V = __m256;

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: the trait's contract, here and below.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn splat(from: *const f32) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_set1_ps(*from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: __m256) {
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, len: usize) -> __m256 {
        // SAFETY: as above; masked lanes are not read.
        unsafe { _mm256_maskload_ps(from, avx2_mask(len)) }
    }

    #[inline(always)]
    unsafe fn store_first(to: *mut f32, len: usize, v: __m256) {
        // SAFETY: as above; masked lanes are not written.
        unsafe { _mm256_maskstore_ps(to, avx2_mask(len), v) }
    }

    #[inline(always)]
    fn prefetch(at: *const f32) {
        // SAFETY: a prefetch reads nothing and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    fn prefetch_write(at: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(at.cast()) }
    }

    #[inline(always)]
    fn prefetch_far(at: *const f32) {
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn clamp(v: __m256, low: __m256, high: __m256) -> __m256 {
        // SAFETY: as above. Of a NaN and a number these give the second operand.
        unsafe { _mm256_min_ps(high, _mm256_max_ps(low, v)) }
    }

    #[inline(always)]
    unsafe fn dot(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe {
            let low = |v| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(v)));
            let mask = _mm256_castsi256_ps(_mm256_set1_epi32(0xffff_0000_u32.cast_signed()));
            let high = |v| _mm256_and_ps(v, mask);
            _mm256_fmadd_ps(high(a), high(b), _mm256_fmadd_ps(low(a), low(b), c))
        }
    }
}

/// The AVX-512 instruction sets differ in one function.
macro_rules! avx512 {
    ($name:ident, |$a:ident, $b:ident, $c:ident| $dot:expr $(, $more:item)*) => {
        pub(crate) struct $name;

        impl Isa for $name {
            const LANES: usize = 16;
            const IMAGES: usize = 8;
            type V = __m512;

            #[inline(always)]
            unsafe fn zero() -> __m512 {
                // SAFETY: the trait's contract, here and below.
                unsafe { _mm512_setzero_ps() }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_loadu_ps(from) }
            }

            #[inline(always)]
            unsafe fn splat(from: *const f32) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_set1_ps(*from) }
            }

            #[inline(always)]
            unsafe fn store(to: *mut f32, v: __m512) {
                // SAFETY: as above.
                unsafe { _mm512_storeu_ps(to, v) }
            }

            #[inline(always)]
            unsafe fn load_first(from: *const f32, len: usize) -> __m512 {
                // SAFETY: as above; masked lanes are not read.
                unsafe { _mm512_maskz_loadu_ps(avx512_mask(len), from) }
            }

            #[inline(always)]
            unsafe fn store_first(to: *mut f32, len: usize, v: __m512) {
                // SAFETY: as above; masked lanes are not written.
                unsafe { _mm512_mask_storeu_ps(to, avx512_mask(len), v) }
            }

            #[inline(always)]
            fn prefetch(at: *const f32) {
                // SAFETY: a prefetch reads nothing and never faults.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
            }

            #[inline(always)]
            fn prefetch_write(at: *mut f32) {
                // SAFETY: as above.
                unsafe { _mm_prefetch::<_MM_HINT_ET0>(at.cast()) }
            }

            #[inline(always)]
            fn prefetch_far(at: *const f32) {
                // SAFETY: as above.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
            }

            #[inline(always)]
            unsafe fn add(a: __m512, b: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_add_ps(a, b) }
            }

            #[inline(always)]
            unsafe fn sub(a: __m512, b: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_sub_ps(a, b) }
            }

            #[inline(always)]
            unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_fmadd_ps(a, b, c) }
            }

            #[inline(always)]
            unsafe fn clamp(v: __m512, low: __m512, high: __m512) -> __m512 {
                // SAFETY: as above. Of a NaN and a number these give the second operand.
                unsafe { _mm512_min_ps(high, _mm512_max_ps(low, v)) }
            }

            #[inline(always)]
            unsafe fn dot($a: __m512, $b: __m512, $c: __m512) -> __m512 {
                // SAFETY: as above; vectors of f32 and of bfloat16 have the same bits.
                unsafe { $dot }
            }

            $($more)*
        }
    };
}

avx512!(Avx512, |a, b, c| {
    let low = |v| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(v)));
    let mask = _mm512_castsi512_ps(_mm512_set1_epi32(0xffff_0000_u32.cast_signed()));
    let high = |v| _mm512_and_ps(v, mask);
    _mm512_fmadd_ps(high(a), high(b), _mm512_fmadd_ps(low(a), low(b), c))
});

avx512!(
    Avx512Bf16,
    |a, b, c| _mm512_dpbf16_ps(
        c,
        std::mem::transmute::<__m512, __m512bh>(a),
        std::mem::transmute::<__m512, __m512bh>(b)
    ),
    #[inline(always)]
    unsafe fn pairs(a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above; vectors of bfloat16 and of integers have the same bits.
        unsafe {
            let a = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(a));
            let b = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(b));
            let b = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(b));
            _mm512_castsi512_ps(_mm512_or_si512(_mm512_cvtepu16_epi32(a), b))
        }
    },
    #[inline(always)]
    unsafe fn neighbours(from: *const f32) -> __m512 {
        // SAFETY: as above.
        unsafe {
            let pairs = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from.add(16)), _mm512_loadu_ps(from));
            std::mem::transmute::<__m512bh, __m512>(pairs)
        }
    }
);
