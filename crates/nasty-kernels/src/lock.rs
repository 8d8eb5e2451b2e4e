//! What tasks leave each other.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A task that panics ends the process's work on the tensors, so what it left does not matter.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
