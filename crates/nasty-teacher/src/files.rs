//! Files are written whole or not at all.

use std::io::{self, Write};
use std::path::Path;

/// What the names of files under way begin with.
pub(crate) const PART: &str = ".part-";

/// Writes `bytes` to `path` under a temporary name in the same folder, syncs, then renames: after a crash or on
/// a full disk the old file, or none, is there, never a part.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(PART).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    // Temporary files are private; what is kept gets the permissions that any new file would have.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path)?;
    // The rename itself must survive a power cut as well.
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}
