//! Mutexes between tasks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex even if a task panicked while holding it: that panic ends the whole operation, so nobody uses the contents.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
