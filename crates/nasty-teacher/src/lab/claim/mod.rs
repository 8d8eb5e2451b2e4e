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
//! - A void lease is taken over by renaming a new one over it. If two processes do so, the later one has it.
//! - The owner reads the nonce again before each saved state and before the result, and stops if it has changed. It then
//!   waits for the other process, as if it had come later.
//! - The owner deletes its lease when it is done.
//!
//! There is a gap between reading the nonce and writing. Two processes may then write the same run, each in complete files:
//! running twice costs time, but the result is still correct.

mod host;
mod locks;
#[cfg(test)]
mod tests;

use self::host::Host;
use self::locks::{Attempt, FileLocks, Locks};
use super::store::{StoreError, io_error};
use crate::files::new_file;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const LOCK: &str = "lock";
const CLAIM: &str = "claim.json";
/// What the names of leases under way begin with. They are no run's half-written files: a waiting process makes them.
const PART: &str = ".claim-";
const FORMAT: u32 = 1;

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
    /// Between two tries of a process that waits.
    poll: Duration,
}

/// A foreign lease, and since when it has looked like this.
#[derive(Debug)]
struct Sighting {
    bytes: Vec<u8>,
    since: Instant,
}

/// `claim.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    format: u32,
    host: String,
    /// Tells apart hosts of one name, and containers of one host.
    machine: String,
    process: u32,
    nonce: String,
    beat: u64,
}

/// What another's lease means for a process that wants the run.
enum Rival {
    None,
    /// Its process is gone.
    Gone,
    /// It was not renewed in time; its process may be alive.
    Stale,
    Alive,
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
            poll: Duration::from_millis(200),
        };
        Self::new(Box::new(FileLocks), Host::this(), timing)
    }

    fn new(locks: Box<dyn Locks>, host: Host, timing: Timing) -> Self {
        Self { locks, host, timing, seen: Mutex::default() }
    }

    /// Claims the run in `folder`, which is made if absent. Waits for another process that works on it; `stop` ends the
    /// wait.
    pub(super) fn claim(
        &self,
        folder: &Path,
        hash: &str,
        stop: &dyn Fn() -> bool,
    ) -> Result<Claim, StoreError> {
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        let mut told = false;
        loop {
            if let Some(claim) = self.try_claim(folder)? {
                return Ok(claim);
            }
            if stop() {
                return Err(StoreError::Stopped(hash.to_owned()));
            }
            if !told {
                tracing::info!("run {hash} is being worked on by another process; waiting for it");
                told = true;
            }
            std::thread::sleep(self.timing.poll);
        }
    }

    /// Whether another process is at work on the run in `folder`, as far as one look can tell.
    pub(super) fn busy(&self, folder: &Path) -> bool {
        let lock = folder.join(LOCK);
        let attempt = if lock.is_file() { self.locks.try_lock(&lock) } else { Ok(Attempt::Unsupported) };
        match attempt {
            Ok(Attempt::Taken) => true,
            Ok(Attempt::Locked(_guard)) => matches!(self.rival(folder, true), Ok(Rival::Alive)),
            Ok(Attempt::Unsupported) => matches!(self.rival(folder, false), Ok(Rival::Alive)),
            Err(_) => false,
        }
    }

    fn try_claim(&self, folder: &Path) -> Result<Option<Claim>, StoreError> {
        let path = folder.join(LOCK);
        let lock = match self.locks.try_lock(&path).map_err(io_error(&path))? {
            Attempt::Taken => return Ok(None),
            Attempt::Locked(guard) => Some(guard),
            Attempt::Unsupported => None,
        };
        let path = folder.join(CLAIM);
        let rival = self.rival(folder, lock.is_some()).map_err(io_error(&path))?;
        let replace = match rival {
            Rival::Alive => return Ok(None),
            Rival::None => false,
            Rival::Gone | Rival::Stale => true,
        };
        let lease = self.lease();
        let Some(file) = lease.write(folder, replace).map_err(io_error(&path))? else { return Ok(None) };
        let taken_over = matches!(rival, Rival::Stale);
        Ok(Some(Claim::new(folder, lease, file, self.timing.beat, taken_over, lock)))
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
        // A lease that cannot be read, of a later version perhaps, counts as a foreign one.
        if let Ok(lease) = serde_json::from_slice::<Lease>(&bytes)
            && (&lease.host, &lease.machine) == (&self.host.name, &self.host.machine)
            && (locked || !host::is_alive(lease.process))
        {
            return Ok(Rival::Gone);
        }
        let now = Instant::now();
        match seen.get(&path) {
            Some(sighting) if sighting.bytes == bytes => {
                let stale = now.duration_since(sighting.since) >= self.timing.stale;
                Ok(if stale { Rival::Stale } else { Rival::Alive })
            }
            _ => {
                seen.insert(path, Sighting { bytes, since: now });
                Ok(Rival::Alive)
            }
        }
    }

    fn lease(&self) -> Lease {
        Lease {
            format: FORMAT,
            host: self.host.name.clone(),
            machine: self.host.machine.clone(),
            process: std::process::id(),
            // Keys of hash maps are the standard library's only source of randomness.
            nonce: format!("{:016x}", RandomState::new().build_hasher().finish()),
            beat: 0,
        }
    }
}

impl Lease {
    fn bytes(&self) -> Vec<u8> {
        let mut text = serde_json::to_string_pretty(self).expect("plain data");
        text.push('\n');
        text.into_bytes()
    }

    /// Writes the lease into `folder`; none if there is one already that is not to be replaced.
    fn write(&self, folder: &Path, replace: bool) -> io::Result<Option<File>> {
        let path = folder.join(CLAIM);
        let mut part = new_file(PART).tempfile_in(folder)?;
        part.write_all(&self.bytes())?;
        if replace {
            return Ok(Some(part.persist(path)?));
        }
        match part.persist_noclobber(&path) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Ok(None),
            // No hard links here: exclusive creation, where others may see the lease before it is whole.
            Err(e) if matches!(e.error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
                match OpenOptions::new().write(true).create_new(true).open(&path) {
                    Ok(mut file) => file.write_all(&self.bytes()).map(|()| Some(file)),
                    Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(None),
                    Err(e) => Err(e),
                }
            }
            Err(e) => Err(e.error),
        }
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

/// Whether the lease in `folder` has this nonce. One that cannot be read just now is not lost: what follows fails or not. The nonce
/// is looked for in the bytes, which may be read while a beat is being written.
fn is_owner(folder: &Path, nonce: &str) -> bool {
    match fs::read(folder.join(CLAIM)) {
        Ok(bytes) => bytes.windows(nonce.len()).any(|part| part == nonce.as_bytes()),
        Err(e) => e.kind() != ErrorKind::NotFound,
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
