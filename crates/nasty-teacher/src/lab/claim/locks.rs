//! Advisory file locks. A trait, so that tests can fake file systems with full locks, with locks that work only within
//! one host, and without locks.

use std::fmt::Debug;
use std::fs::{OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// What trying to lock a file gave.
pub(super) enum Attempt {
    /// Locked until this is dropped.
    Locked(Box<dyn Send + Sync>),
    /// Another process has the lock.
    Taken,
    /// This file system has no locks.
    Unsupported,
}

/// A source of advisory locks.
pub(super) trait Locks: Debug + Send + Sync {
    /// Tries to lock the file at `path`, made if absent.
    fn try_lock(&self, path: &Path) -> io::Result<Attempt>;
}

/// The operating system's locks.
#[derive(Debug)]
pub(super) struct FileLocks;

impl Locks for FileLocks {
    fn try_lock(&self, path: &Path) -> io::Result<Attempt> {
        // Writable: NFS refuses an exclusive lock on a file opened for reading.
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Attempt::Locked(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(Attempt::Taken),
            Err(TryLockError::Error(e)) if has_no_locks(&e) => Ok(Attempt::Unsupported),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }
}

/// ENOSYS and ENOTSUP (Lustre without `-o flock`), or ENOLCK (NFS without a lock service).
fn has_no_locks(error: &io::Error) -> bool {
    let no_service = if cfg!(target_os = "linux") { 37 } else { 77 };
    error.kind() == io::ErrorKind::Unsupported || (cfg!(unix) && error.raw_os_error() == Some(no_service))
}
