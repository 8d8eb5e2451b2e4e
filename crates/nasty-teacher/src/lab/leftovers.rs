//! What killed processes leave behind.

use crate::files::{PART, new_file};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A half-written file of this age is nobody's any more.
pub(super) const ABANDONED: Duration = Duration::from_secs(3600);

/// The paths of what lies in `folder`; none if it cannot be read.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Those of `parts`, half-written files in `folder`, that are so old that nobody writes them any more. Their age is by the
/// clock that stamps new files in the folder: of a network's file system it is not this host's.
pub(super) fn abandoned(folder: &Path, parts: Vec<PathBuf>) -> Vec<PathBuf> {
    if parts.is_empty() {
        return parts;
    }
    let stamp = new_file(PART).tempfile_in(folder).and_then(|file| file.as_file().metadata()?.modified());
    let Ok(now) = stamp else { return Vec::new() };
    let old = |path: &PathBuf| {
        let written = path.metadata().and_then(|found| found.modified());
        written.is_ok_and(|written| now.duration_since(written).is_ok_and(|age| age > ABANDONED))
    };
    parts.into_iter().filter(old).collect()
}
