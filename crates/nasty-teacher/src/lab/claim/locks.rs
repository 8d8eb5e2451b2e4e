//! Advisory file locks. A trait, so that tests can fake file systems with full locks, with locks that work only within
//! one host, and without locks.

use std::fmt::Debug;
use std::fs::{OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// What trying to lock a file gave.
pub(super) enum Locked {
    /// Locked until this is dropped.
    Here(Box<dyn Send + Sync>),
    /// Another process has the lock.
    Elsewhere,
    /// This file system has no locks.
    Unsupported,
}

/// A source of advisory locks.
pub(super) trait Locks: Debug + Send + Sync {
    /// Tries to lock the file at `path`, made if absent.
    fn try_lock(&self, path: &Path) -> io::Result<Locked>;
}

/// The operating system's locks.
#[derive(Debug)]
pub(super) struct FileLocks;

impl Locks for FileLocks {
    fn try_lock(&self, path: &Path) -> io::Result<Locked> {
        // Writable: NFS refuses an exclusive lock on a file opened for reading.
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Locked::Here(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(Locked::Elsewhere),
            Err(TryLockError::Error(e)) if has_no_locks(&e) => Ok(Locked::Unsupported),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }
}

/// ENOSYS and ENOTSUP (Lustre without `-o flock`), or ENOLCK (NFS without a lock service).
fn has_no_locks(error: &io::Error) -> bool {
    let no_service = if cfg!(target_os = "linux") { 37 } else { 77 };
    error.kind() == io::ErrorKind::Unsupported || (cfg!(unix) && error.raw_os_error() == Some(no_service))
}
