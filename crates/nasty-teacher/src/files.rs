//! Writes files completely or not at all.

use std::io::{self, Write};
use std::path::Path;

/// What the names of files under way begin with.
pub(crate) const PART: &str = ".part-";

/// Temporary files are private by default. What is kept gets the permissions of any new file: those the umask leaves.
pub(crate) fn new_file(prefix: &str) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder
}

/// Writes `bytes` to `path` under a temporary name in the same folder, syncs, then renames: after a crash or on
/// a full disk the old file, or none, is there, never a part.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = new_file(PART).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The rename itself must survive a power cut as well.
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// As [`write_whole`], unless there is a file at `path`: then that one stays. Whether it was written.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = new_file(PART).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e.error),
    }
}
