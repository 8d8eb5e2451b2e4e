//! How tasks end.

/// How carrying out a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its result is in the store.
    Done,
    /// Stopped on request with its state saved.
    Stopped,
}
