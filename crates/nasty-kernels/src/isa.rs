//! Which instruction set the kernels run on: the best that the machine has, or what `NASTY_KERNELS` asks for.

use std::sync::OnceLock;

/// Names an instruction set (`avx512`, `avx2`, `neon`, `baseline`), to test and measure the paths that a machine
/// would not choose. One that the machine lacks, or a name that is none of these, has no effect.
const VARIABLE: &str = "NASTY_KERNELS";

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What every 64-bit ARM has; it has a fused multiply-add.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// What the compiler may assume of the target.
    Baseline,
}

impl Isa {
    /// All of this architecture, best first.
    const ALL: &[Self] = &[
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
        Self::Baseline,
    ];

    /// The one in use; the same for the life of the process.
    pub(crate) fn current() -> Self {
        static CHOSEN: OnceLock<Isa> = OnceLock::new();
        *CHOSEN.get_or_init(|| Self::choose(std::env::var(VARIABLE).ok().as_deref()))
    }

    fn choose(wanted: Option<&str>) -> Self {
        let mut usable = Self::ALL.iter().copied().filter(|isa| isa.is_available());
        let best = usable.clone().next().unwrap_or(Self::Baseline);
        usable.find(|isa| Some(isa.name()) == wanted).unwrap_or(best)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
            Self::Baseline => "baseline",
        }
    }

    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && Self::Avx2.is_available()
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            Self::Baseline => true,
        }
    }
}

/// a·b + c as the instruction set has it. `f32::mul_add` is one instruction where there is a fused one and a call
/// into the C library elsewhere, so kernels take it from here.
pub(crate) trait MulAdd: Copy {
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
}

/// One rounding.
#[derive(Clone, Copy)]
pub(crate) struct Fused;

/// Two roundings.
#[derive(Clone, Copy)]
pub(crate) struct Separate;

impl MulAdd for Fused {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl MulAdd for Separate {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// Defines `fn name(arguments)` that runs `body::<M>(arguments)` compiled for [`Isa::current`], M being its
/// [`MulAdd`]. The body must be `#[inline(always)]`, or it is compiled for the baseline.
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
            match $crate::isa::Isa::current() {
                // SAFETY: the machine has these features, or `Isa::current` would not be this.
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code)]
                $crate::isa::Isa::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code)]
                $crate::isa::Isa::Avx2 => unsafe { avx2($($arg),*) },
                #[cfg(target_arch = "aarch64")]
                $crate::isa::Isa::Neon => $body::<$crate::isa::Fused>($($arg),*),
                $crate::isa::Isa::Baseline => $body::<$crate::isa::Separate>($($arg),*),
            }
        }
    };
}
pub(crate) use per_isa;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_instruction_set_runs_unless_another_usable_one_is_named() {
        let best = Isa::choose(None);
        assert!(best.is_available());
        assert_eq!(Isa::choose(Some("baseline")), Isa::Baseline);
        assert_eq!(Isa::choose(Some("pentium")), best);
        for isa in Isa::ALL {
            let expected = if isa.is_available() { *isa } else { best };
            assert_eq!(Isa::choose(Some(isa.name())), expected);
        }
    }
}
