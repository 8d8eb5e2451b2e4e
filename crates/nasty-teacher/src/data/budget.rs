//! How much memory a data set may take.

use super::error::DataError;

/// Where the system does not say how much memory there is.
const UNKNOWN: u64 = 16 << 30;

/// Bytes that the images of a split may take together: three quarters of the memory that is free when they are read.
pub(super) fn budget() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next());
    free.and_then(|kib| kib.parse::<u64>().ok()).map_or(UNKNOWN, |kib| kib * 1024 / 4 * 3)
}

/// Checks that `bytes` for `images` images fit.
pub(super) fn check(images: usize, bytes: u128) -> Result<usize, DataError> {
    let allowed = budget();
    match usize::try_from(bytes) {
        Ok(fits) if bytes <= u128::from(allowed) => Ok(fits),
        _ => Err(too_much(images, bytes, allowed)),
    }
}

/// That they do not fit.
pub(super) fn too_much(images: usize, bytes: u128, allowed: u64) -> DataError {
    let gib = |bytes: f64| bytes / f64::from(1u32 << 30);
    DataError::Impossible {
        what: format!(
            "{images} images take {:.1} GiB, and {:.1} GiB (three quarters of the free memory) are allowed: they do not fit into memory",
            gib(bytes as f64),
            gib(allowed as f64)
        ),
        help: "give a smaller side, such as data.side=64, or fewer images".into(),
    }
}
