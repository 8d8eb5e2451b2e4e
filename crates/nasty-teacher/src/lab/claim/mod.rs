//! Claims: which process works on a run. Two processes never corrupt a store, even on two hosts and on file systems whose
//! locks have no effect.
//!
//! A run's folder has two files for this. The **lock** (`lock`, an advisory lock) is released when its process ends, in any
//! way. But some file systems have no locks, and others silently lock within one host only. The **lease** (`claim.json`)
//! works on every file system. A process works on a run while it has both, or the lease alone where locks are not supported.
//!
//! The protocol of the lease:
//! - It is created exclusively and atomically, and names the host, the process and a nonce.
//! - While the process lives, a thread increments `beat` in it every 30 s, through the file handle that created it. Once
//!   another process has renamed its own lease over it, these writes have no effect.
//! - A lease of this host is void if this process holds the lock, or if the lease's process is gone. Any other lease is void
//!   once an observer has seen it unchanged for 5 minutes *by its own monotonic clock*: no two clocks are compared.
//! - A void lease is taken over by renaming a new one over it. If several processes do so, the last one has it: each waits a
//!   second and reads the lease again before it begins, unless the lock has kept the others out.
//! - The owner reads the nonce again before each saved state and before the result, and stops if it has changed. It then
//!   waits for the other process, as if it had come later.
//! - The owner deletes its lease when it is done.
//!
//! `protocol.rs` has the steps of a claim as a state machine, and `model.rs` checks them, with all that surrounds them, in every order.
//! `docs/cluster.md` says what each crash leaves behind.
//!
//! There is a gap between reading the nonce and writing. Two processes may then write the same run, each in complete files:
//! running twice costs time, but the result is still correct.

mod holder;
mod host;
mod lease;
mod locks;
#[cfg(test)]
mod model;
mod protocol;
#[cfg(test)]
mod tests;

pub use self::holder::Holder;
pub(super) use self::holder::holder;
use self::host::Host;
pub(super) use self::lease::PART;
use self::lease::{CLAIM, Lease, is_owner};
use self::locks::{FileLocks, Locked, Locks};
use self::protocol::{Attempt, Next, Rival, Seen, Step, judge};
use super::store_error::{StoreError, io_error};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const LOCK: &str = "lock";

/// How claims are made and judged: the locks, the host, the times, and what was seen of others' leases.
#[derive(Debug)]
pub(super) struct Claims {
    locks: Box<dyn Locks>,
    host: Host,
    timing: Timing,
    seen: Mutex<HashMap<PathBuf, Sighting>>,
}

#[derive(Clone, Copy, Debug)]
struct Timing {
    /// Between two beats.
    beat: Duration,
    /// A lease that did not change for so long is void.
    stale: Duration,
    /// Between two tries of a process that waits, and the most that it waits after many.
    poll: [Duration; 2],
    /// Longer than others take between reading a void lease and replacing it.
    settle: Duration,
}

/// A foreign lease, and since when it has looked like this.
#[derive(Debug)]
struct Sighting {
    bytes: Vec<u8>,
    since: Instant,
}

/// A claim to a run: this process alone works on it. Freed when dropped, or when the process ends however it ends.
pub struct Claim {
    folder: PathBuf,
    nonce: String,
    /// Whether the owner before may still be alive.
    pub(super) taken_over: bool,
    lost: Arc<AtomicBool>,
    beating: Option<(Sender<()>, JoinHandle<()>)>,
    _lock: Option<Box<dyn Send + Sync>>,
}

impl Claims {
    /// The claims of this process.
    pub(super) fn of_this_process() -> Self {
        let timing = Timing {
            beat: Duration::from_secs(30),
            stale: Duration::from_secs(300),
            poll: [Duration::from_millis(200), Duration::from_secs(10)],
            settle: Duration::from_secs(1),
        };
        Self::new(Box::new(FileLocks), Host::this(), timing)
    }

    fn new(locks: Box<dyn Locks>, host: Host, timing: Timing) -> Self {
        Self { locks, host, timing, seen: Mutex::default() }
    }

    /// Claims the run in `folder`, which is made if absent. Waits for another process that works on it, and looks ever more rarely;
    /// `stop` ends the wait.
    pub(super) fn claim(
        &self,
        folder: &Path,
        hash: &str,
        stop: &dyn Fn() -> bool,
    ) -> Result<Claim, StoreError> {
        let [mut pause, most] = self.timing.poll;
        let mut told = false;
        loop {
            if let Some(claim) = self.try_claim(folder)? {
                return Ok(claim);
            }
            let looked = Instant::now();
            while looked.elapsed() < pause {
                if stop() {
                    return Err(StoreError::Stopped(hash.to_owned()));
                }
                std::thread::sleep(self.timing.poll[0]);
            }
            if !told {
                tracing::info!("run {hash} is being worked on by another process; waiting for it");
                told = true;
            }
            pause = (2 * pause).min(most);
        }
    }

    /// Whether another process is at work on the run in `folder`, as far as one look can tell.
    pub(super) fn busy(&self, folder: &Path) -> bool {
        matches!(self.rival(folder, false), Ok(Rival::Alive))
    }

    /// Claims the run in `folder`, which is made if absent, unless another process works on it.
    pub(super) fn try_claim(&self, folder: &Path) -> Result<Option<Claim>, StoreError> {
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        let lock_file = folder.join(LOCK);
        let lease = Lease::new(&self.host);
        let (mut lock, mut written) = (None, None);
        let mut attempt = Attempt::new();
        loop {
            let seen = match attempt.step {
                Step::Lock => match self.locks.try_lock(&lock_file).map_err(io_error(&lock_file))? {
                    Locked::Here(guard) => {
                        lock = Some(guard);
                        Seen::Unlocked
                    }
                    Locked::Unsupported => Seen::Unlocked,
                    Locked::Elsewhere => Seen::Locked,
                },
                Step::Read => {
                    let path = folder.join(CLAIM);
                    let rival = self.rival(folder, lock.is_some()).map_err(io_error(&path))?;
                    if rival == Rival::Stale {
                        tracing::info!("{} was not renewed in time; taking it over", path.display());
                    }
                    Seen::Lease(rival)
                }
                Step::Create | Step::Replace => {
                    let replace = attempt.step == Step::Replace;
                    let made = lease.write(folder, replace);
                    written = made.map_err(io_error(&folder.join(CLAIM)))?;
                    Seen::Written(written.is_some())
                }
                Step::Confirm => {
                    // The lock may keep out the processes of this host only.
                    if lock.is_none() || attempt.taken_over {
                        std::thread::sleep(self.timing.settle);
                    }
                    Seen::Written(is_owner(folder, &lease.nonce))
                }
            };
            match (attempt.next(seen), written.take()) {
                (Next::Do(_), file) => written = file,
                (Next::Claimed { taken_over }, Some(file)) => {
                    return Ok(Some(Claim::new(folder, lease, file, self.timing.beat, taken_over, lock)));
                }
                (Next::Claimed { .. }, None) | (Next::Leave, _) => return Ok(None),
            }
        }
    }

    /// What the lease in `folder` means; `locked` says whether this process holds the run's lock.
    fn rival(&self, folder: &Path, locked: bool) -> io::Result<Rival> {
        let path = folder.join(CLAIM);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                seen.remove(&path);
                return Ok(Rival::None);
            }
            other => other?,
        };
        let lease: Option<Lease> = serde_json::from_slice(&bytes).ok();
        let now = Instant::now();
        let sighting = seen.entry(path).or_insert_with(|| Sighting { bytes: bytes.clone(), since: now });
        if sighting.bytes != bytes {
            *sighting = Sighting { bytes, since: now };
        }
        let unchanged = now.duration_since(sighting.since);
        Ok(judge(lease.as_ref(), &self.host, locked, &host::is_alive, unchanged, self.timing.stale))
    }
}

impl Claim {
    fn new(
        folder: &Path,
        lease: Lease,
        file: File,
        beat: Duration,
        taken_over: bool,
        lock: Option<Box<dyn Send + Sync>>,
    ) -> Self {
        let nonce = lease.nonce.clone();
        let lost = Arc::new(AtomicBool::new(false));
        let (sender, ended) = channel();
        let (of_thread, place) = (lost.clone(), folder.to_owned());
        let beats = move || {
            let (mut lease, mut file) = (lease, file);
            while ended.recv_timeout(beat) == Err(RecvTimeoutError::Timeout) {
                if !is_owner(&place, &lease.nonce) {
                    of_thread.store(true, Ordering::Relaxed);
                    return;
                }
                lease.beat += 1;
                // What cannot be written now is written at the next beat; long before that matters there are ten.
                let _ = file
                    .seek(SeekFrom::Start(0))
                    .and_then(|_| file.write_all(&lease.bytes()))
                    .and_then(|()| file.sync_data());
            }
        };
        let thread = std::thread::Builder::new().name("nasty-claim".into()).spawn(beats);
        let beating = match thread {
            Ok(thread) => Some((sender, thread)),
            Err(e) => {
                tracing::warn!("the claim to {} cannot be renewed: {e}", folder.display());
                None
            }
        };
        Self { folder: folder.to_owned(), nonce, taken_over, lost, beating, _lock: lock }
    }

    /// Whether the run is still this process's; reads the lease.
    pub fn is_held(&self) -> bool {
        let held = is_owner(&self.folder, &self.nonce);
        if !held {
            self.lost.store(true, Ordering::Relaxed);
        }
        held
    }

    /// Whether another process was seen to have taken the run over; reads nothing.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.beating.take() {
            drop(sender);
            let _ = thread.join();
        }
        if self.is_held() {
            let _ = fs::remove_file(self.folder.join(CLAIM));
        }
    }
}
