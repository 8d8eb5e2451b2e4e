//! How tasks end, and what a look at one tells.

/// How carrying out a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its result is in the store.
    Done,
    /// Stopped on request with its state saved.
    Stopped,
}

/// How a task of a plan ended; `E` is the worker's error.
#[derive(Debug)]
pub enum TaskEnd<E> {
    /// Its result is in the store.
    Done,
    /// Its result is in the store, as another process tells; this one did not look.
    Told,
    /// Its loss is not finite: that is recorded as its result.
    NotFinite(String),
    /// It failed. What does not need it goes on.
    Failed(E),
    /// The worker panicked, and said this. What does not need the task goes on.
    Panicked(String),
    /// It failed too often to be tried again; so it failed last.
    GivenUp(String),
    /// The task of this name, which it needs, has no network to give.
    Blocked(String),
    /// Stopped on request, or not begun because of that; the same plan goes on.
    Stopped,
    /// Left to other processes.
    Left,
}

/// What a look at a task tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nobody works on it.
    Free,
    /// Another process works on it.
    Busy,
    /// Its result is in the store.
    Done,
    /// Its loss is not finite: that is its result, and this its message.
    NotFinite(String),
    /// It failed, and nobody works on it.
    Failed {
        /// Tries that failed.
        attempts: u32,
        /// How the last one did.
        message: String,
    },
}

impl Look {
    /// How the task ended, if it did.
    pub(super) fn end<E>(&self) -> Option<TaskEnd<E>> {
        match self {
            Self::Done => Some(TaskEnd::Done),
            Self::NotFinite(why) => Some(TaskEnd::NotFinite(why.clone())),
            Self::Free | Self::Busy | Self::Failed { .. } => None,
        }
    }
}
