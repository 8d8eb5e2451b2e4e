//! The protocol of claims without any input or output: which step comes next, given what the last one saw. `mod.rs` carries the
//! steps out on a file system, and `model.rs` in every possible order.

use super::host::Host;
use super::lease::Lease;
use std::time::Duration;

/// A step of a process that wants a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Try the advisory lock.
    Lock,
    /// Read the lease.
    Read,
    /// Write a lease where there is none: exclusively, so that of several processes one succeeds.
    Create,
    /// Rename a new lease over a void one.
    Replace,
    /// Read the lease again, once every process that saw the same void lease has replaced it as well.
    Confirm,
}

/// What a step gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The lock is this process's, or nobody's where there are no locks.
    Unlocked,
    /// Another process has the lock.
    Locked,
    /// A lease, or none.
    Lease(Rival),
    /// Whether the lease that was written is the one that counts.
    Written(bool),
}

/// What another's lease means for a process that wants the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rival {
    /// There is none.
    None,
    /// Its process is gone.
    Gone,
    /// It was not renewed in time; its process may be alive.
    Stale,
    /// It counts.
    Alive,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This step.
    Do(Step),
    /// The run is claimed; whether its owner before may be alive.
    Claimed {
        /// It was taken from a process that may be alive.
        taken_over: bool,
    },
    /// Another process has it.
    Leave,
}

/// A try to claim a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Attempt {
    /// The step under way.
    pub(super) step: Step,
    /// The owner before may be alive.
    pub(super) taken_over: bool,
}

impl Attempt {
    /// A try at its first step.
    pub(super) fn new() -> Self {
        Self { step: Step::Lock, taken_over: false }
    }

    /// The step after the one under way, which saw `seen`.
    pub(super) fn next(&mut self, seen: Seen) -> Next {
        let next = match (self.step, seen) {
            (Step::Lock, Seen::Unlocked) => Next::Do(Step::Read),
            (Step::Read, Seen::Lease(Rival::None)) => Next::Do(Step::Create),
            (Step::Read, Seen::Lease(Rival::Gone)) => Next::Do(Step::Replace),
            (Step::Read, Seen::Lease(Rival::Stale)) => {
                self.taken_over = true;
                Next::Do(Step::Replace)
            }
            (Step::Create, Seen::Written(true)) => Next::Claimed { taken_over: false },
            (Step::Replace, Seen::Written(true)) => Next::Do(Step::Confirm),
            (Step::Confirm, Seen::Written(true)) => Next::Claimed { taken_over: self.taken_over },
            _ => Next::Leave,
        };
        if let Next::Do(step) = next {
            self.step = step;
        }
        next
    }
}

/// What `lease` means for a process on `host`, which has the run's lock if `locked` says so, and has seen the lease unchanged for
/// `unchanged`. One that cannot be read, of a later version perhaps, counts as a foreign one.
pub(super) fn judge(
    lease: Option<&Lease>,
    host: &Host,
    locked: bool,
    is_alive: &dyn Fn(u32) -> bool,
    unchanged: Duration,
    stale: Duration,
) -> Rival {
    let here = |lease: &Lease| (&lease.host, &lease.machine) == (&host.name, &host.machine);
    if lease.is_some_and(|lease| here(lease) && (locked || !is_alive(lease.process))) {
        return Rival::Gone;
    }
    if unchanged >= stale { Rival::Stale } else { Rival::Alive }
}
