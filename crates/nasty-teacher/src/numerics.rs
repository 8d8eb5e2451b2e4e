//! What affects the last bits of a result but is not part of a recipe's hash: how this build rounds, the instruction
//! set and device, and which weights other runs actually produced.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Raised whenever kernels or losses round differently than before.
pub const NUMERICS_VERSION: u32 = 2;

/// How numbers are rounded: two computations with equal numerics give the same bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Numerics {
    /// [`NUMERICS_VERSION`] of the build.
    pub version: u32,
    /// The device's name, such as `flex`.
    pub device: String,
    /// The instruction set of the CPU's kernels; empty on other devices.
    pub instruction_set: String,
}

impl Numerics {
    /// The numerics of this build and machine on the device called `device`.
    pub fn here(device: &str) -> Self {
        let on_cpu = device == "flex" || device.starts_with("flex:");
        let instruction_set = if on_cpu { nasty_kernels::instruction_set() } else { "" };
        Self {
            version: NUMERICS_VERSION,
            device: device.to_owned(),
            instruction_set: instruction_set.to_owned(),
        }
    }
}

impl fmt::Display for Numerics {
    /// `numerics 2 on flex (avx512bf16)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "numerics {} on {}", self.version, self.device)?;
        if self.instruction_set.is_empty() { Ok(()) } else { write!(f, " ({})", self.instruction_set) }
    }
}

/// What a run was made from and with, beside its recipe. Results, saved states and logit tables carry it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The numerics in use. More than one: the run was continued on other numerics, in this order.
    pub numerics: Vec<Numerics>,
    /// Every network that the run asked: its reference, and the digest of the weights that it really had.
    pub weights: Vec<(String, String)>,
}

impl Provenance {
    /// The provenance of a run that begins here on the device called `device`, with these `weights`.
    pub fn here(device: &str, weights: Vec<(String, String)>) -> Self {
        Self { numerics: vec![Numerics::here(device)], weights }
    }

    /// The provenance of a run that was begun with `earlier` and goes on with this one: all numerics, each once for as long as
    /// it was in use.
    pub fn continuing(&self, earlier: &Self) -> Self {
        let mut numerics = earlier.numerics.clone();
        for now in &self.numerics {
            if numerics.last() != Some(now) {
                numerics.push(now.clone());
            }
        }
        Self { numerics, weights: self.weights.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continued_run_tells_all_its_numerics_in_order() {
        let on = |set: &str| Provenance {
            numerics: vec![Numerics { version: 1, device: "flex".into(), instruction_set: set.into() }],
            weights: Vec::new(),
        };
        let sets = |p: &Provenance| p.numerics.iter().map(|n| n.instruction_set.clone()).collect::<Vec<_>>();
        let wide = on("avx512");
        assert_eq!(sets(&wide.continuing(&wide)), ["avx512"]);
        let both = on("avx2").continuing(&wide);
        assert_eq!(sets(&both), ["avx512", "avx2"]);
        assert_eq!(sets(&wide.continuing(&both)), ["avx512", "avx2", "avx512"]);
        assert_eq!(both.numerics[1].to_string(), "numerics 1 on flex (avx2)");
    }
}
