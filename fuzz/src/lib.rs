//! What the fuzz targets share.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder in memory, where the system has one, for the files of a target.
pub struct Folder(TempDir);

impl Folder {
    /// An empty folder.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        Self(tempfile::tempdir_in(parent).expect("a temporary folder"))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes `bytes` to the file `name` in it.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        path
    }
}

/// `bytes` before and after the first zero byte.
pub fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    (&bytes[..at], bytes.get(at + 1..).unwrap_or(&[]))
}

/// An outcome is a value, or an error that says something. It may repeat a name in the file; the program shortens it.
pub fn told<T, E: Display>(outcome: Result<T, E>) {
    if let Err(error) = outcome {
        let text = error.to_string();
        assert!(!text.is_empty() && text.len() < 200_000, "an error of {} bytes", text.len());
    }
}

/// Panics of libraries that the program catches do not end a target; all others still do.
pub fn panics_may_be_caught() {
    let _ = std::panic::take_hook();
}
