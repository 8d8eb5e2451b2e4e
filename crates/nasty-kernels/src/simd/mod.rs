//! One set of kernels, compiled for several instruction sets. Which one runs is decided once, at run time.
//!
//! A kernel is a [`Job`] generic over an [`Isa`]. [`Path::run`] calls it inside a function that is compiled for the
//! instruction set, so everything that a job calls must be `#[inline(always)]`. A job must not start threads, because a
//! closure that runs on another thread is compiled for the baseline.
#![allow(unsafe_code, reason = "vector instructions and the pointers they read")]

mod element;
mod plain;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

#[cfg(test)]
pub(crate) use self::element::round_to_bf16;
pub(crate) use self::element::{Element, Pair};
pub(crate) use self::plain::Plain;

/// An instruction set that the kernels are compiled for, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Path {
    /// What every machine of the target has: SSE2 on x86-64, NEON on 64-bit Arm.
    Baseline,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 (F, BW, DQ, VL).
    Avx512,
    /// AVX-512 with products of bfloat16.
    Avx512Bf16,
}

/// A computation compiled once for every instruction set.
pub(crate) trait Job {
    /// Its result.
    type Output;

    /// The computation. It must be `#[inline(always)]`.
    fn run<I: Isa>(self) -> Self::Output;
}

/// Vectors of `LANES` f32, and the operations that the kernels need.
///
/// # Safety
/// The machine must support the instruction set. Pointers must be valid for `LANES` values (`splat`: for one) and need not
/// be aligned.
pub(crate) trait Isa: 'static {
    /// f32 in a vector.
    const LANES: usize;
    /// How many images the inner loop of a convolution takes at once with two vectors of channels, so that all sums stay in
    /// registers.
    const IMAGES: usize;
    /// A vector of f32, or of as many [`Pair`]s.
    type V: Copy;

    unsafe fn zero() -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn splat(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, v: Self::V);
    /// Loads the first `len` lanes (all, if there are fewer), and zeros in the others; `from` must be valid for the loaded ones.
    unsafe fn load_first(from: *const f32, len: usize) -> Self::V;
    /// Stores the first `len` lanes (all, if there are fewer); `to` must be valid for these.
    unsafe fn store_first(to: *mut f32, len: usize, v: Self::V);
    /// Prefetches the cache line at an address, which need not be valid.
    #[inline(always)]
    fn prefetch(_: *const f32) {}
    /// [`Self::prefetch`] into the second-level cache.
    #[inline(always)]
    fn prefetch_far(_: *const f32) {}
    /// [`Self::prefetch`] of a line that will be written.
    #[inline(always)]
    fn prefetch_write(_: *mut f32) {}
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// a b + c.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// v clamped to two bounds; NaN stays NaN.
    unsafe fn clamp(v: Self::V, low: Self::V, high: Self::V) -> Self::V;
    /// c plus both products of the bfloat16 pairs in a and b.
    unsafe fn dot(a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// Pairs of the lanes of a and b.
    #[inline(always)]
    unsafe fn pairs(a: Self::V, b: Self::V) -> Self::V {
        let (mut first, mut second) = ([0.0; 16], [0.0; 16]);
        // SAFETY: a vector is no longer than the arrays.
        unsafe {
            Self::store(first.as_mut_ptr(), a);
            Self::store(second.as_mut_ptr(), b);
            for (a, b) in first.iter_mut().zip(second) {
                *a = f32::from_bits(Pair::pack(*a, b).0);
            }
            Self::load(first.as_ptr())
        }
    }

    /// Pairs of neighbouring values, from 2 · `LANES` f32.
    #[inline(always)]
    unsafe fn neighbours(from: *const f32) -> Self::V {
        let mut pairs = [0.0; 16];
        for (i, pair) in pairs.iter_mut().take(Self::LANES).enumerate() {
            // SAFETY: the caller's promise; a vector is no longer than the array.
            *pair = f32::from_bits(unsafe { Pair::pack(*from.add(2 * i), *from.add(2 * i + 1)) }.0);
        }
        // SAFETY: as above.
        unsafe { Self::load(pairs.as_ptr()) }
    }
}

impl Path {
    /// All instruction sets, the weakest first.
    const ALL: [Self; 4] = [Self::Baseline, Self::Avx2, Self::Avx512, Self::Avx512Bf16];

    /// The best one that this machine supports, or the one that the environment variable `NASTY_KERNELS` names, if this machine
    /// supports it.
    pub(crate) fn chosen() -> Self {
        static CHOSEN: OnceLock<Path> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let asked = std::env::var("NASTY_KERNELS").ok();
            let supported = Self::supported();
            let found = supported.iter().copied().find(|p| asked.as_deref() == Some(p.name()));
            found.or(supported.last().copied()).unwrap_or(Self::Baseline)
        })
    }

    /// Those that this machine supports.
    pub(crate) fn supported() -> Vec<Self> {
        Self::ALL.into_iter().filter(|p| p.is_supported()).collect()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512bf16",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn is_supported(self) -> bool {
        match self {
            Self::Baseline => true,
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Self::Avx512 => {
                Self::Avx2.is_supported()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            Self::Avx512Bf16 => Self::Avx512.is_supported() && is_x86_feature_detected!("avx512bf16"),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_supported(self) -> bool {
        self == Self::Baseline
    }

    /// Number of f32 in a vector.
    pub(crate) fn lanes(self) -> usize {
        struct Lanes;
        impl Job for Lanes {
            type Output = usize;

            #[inline(always)]
            fn run<I: Isa>(self) -> usize {
                I::LANES
            }
        }
        self.run(Lanes)
    }

    /// Runs the job compiled for this instruction set.
    #[inline]
    pub(crate) fn run<J: Job>(self, job: J) -> J::Output {
        assert!(self.is_supported(), "{self:?} kernels on a machine without the instructions");
        match self {
            Self::Baseline => job.run::<Plain>(),
            // SAFETY: the assertion above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::avx2(job) },
            // SAFETY: the assertion above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::avx512(job) },
            // SAFETY: the assertion above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => unsafe { x86::avx512bf16(job) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => job.run::<Plain>(),
        }
    }
}
