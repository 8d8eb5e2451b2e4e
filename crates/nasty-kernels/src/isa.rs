//! Plain loops compiled for each instruction set of [`Path`](crate::simd::Path): code that the compiler vectorises by itself, so
//! that it does not need the vectors of `simd`.

/// a·b + c as the instruction set computes it. `f32::mul_add` is one instruction where the target has a fused one, and a call
/// into the C library otherwise, so kernels use this trait.
pub(crate) trait MulAdd: Copy {
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
}

/// One rounding.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Fused;

/// What every machine of the target has: one rounding on Arm, two on x86-64.
#[derive(Clone, Copy)]
pub(crate) struct Baseline;

#[cfg(target_arch = "x86_64")]
impl MulAdd for Fused {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl MulAdd for Baseline {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) { a.mul_add(b, c) } else { a * b + c }
    }
}

/// Defines `fn name(arguments)`, which runs `body::<M>(arguments)` compiled for [`Path::chosen`](crate::simd::Path) with its
/// [`MulAdd`] as M. The body must be `#[inline(always)]`; otherwise it is compiled for the baseline.
macro_rules! per_isa {
    ($(#[$about:meta])* $visibility:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? = $body:ident) => {
        $(#[$about])*
        #[allow(clippy::too_many_arguments)]
        $visibility fn $name($($arg: $type),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx512($($arg: $type),*) $(-> $out)? {
                $body::<$crate::isa::Fused>($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx2($($arg: $type),*) $(-> $out)? {
                $body::<$crate::isa::Fused>($($arg),*)
            }
            match $crate::simd::Path::chosen() {
                // SAFETY: only an instruction set that the machine supports is chosen.
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code)]
                $crate::simd::Path::Avx512 | $crate::simd::Path::Avx512Bf16 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code)]
                $crate::simd::Path::Avx2 => unsafe { avx2($($arg),*) },
                _ => $body::<$crate::isa::Baseline>($($arg),*),
            }
        }
    };
}
pub(crate) use per_isa;
