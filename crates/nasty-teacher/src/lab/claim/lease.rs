//! The lease: `claim.json` in a run's folder.

use super::host::Host;
use crate::files::new_file;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const CLAIM: &str = "claim.json";
/// What the names of leases under way begin with. They are no run's half-written files: a waiting process makes them.
pub(in crate::lab) const PART: &str = ".claim-";
const FORMAT: u32 = 1;

/// `claim.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) format: u32,
    pub(super) host: String,
    /// Tells apart hosts of one name, and containers of one host.
    pub(super) machine: String,
    pub(super) process: u32,
    pub(super) nonce: String,
    /// Seconds since 1970 by the owner's clock: when it claimed the run. For people only.
    #[serde(default)]
    pub(super) since: Option<u64>,
    /// The batch job that it is part of, as its queue calls it. For people only.
    #[serde(default)]
    pub(super) job: Option<String>,
    pub(super) beat: u64,
}

impl Lease {
    /// A lease of this process on `host`.
    pub(super) fn new(host: &Host) -> Self {
        Self {
            format: FORMAT,
            host: host.name.clone(),
            machine: host.machine.clone(),
            process: std::process::id(),
            // Keys of hash maps are the standard library's only source of randomness.
            nonce: format!("{:016x}", RandomState::new().build_hasher().finish()),
            since: SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()),
            job: host.job.clone(),
            beat: 0,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut text = serde_json::to_string_pretty(self).expect("plain data");
        text.push('\n');
        text.into_bytes()
    }

    /// Writes the lease into `folder`; none if there is one already that is not to be replaced.
    pub(super) fn write(&self, folder: &Path, replace: bool) -> io::Result<Option<File>> {
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

/// Whether the lease in `folder` has this nonce. One that cannot be read just now is not lost: what follows fails or not. The nonce
/// is looked for in the bytes, which may be read while a beat is being written.
pub(super) fn is_owner(folder: &Path, nonce: &str) -> bool {
    match std::fs::read(folder.join(CLAIM)) {
        Ok(bytes) => bytes.windows(nonce.len()).any(|part| part == nonce.as_bytes()),
        Err(e) => e.kind() != ErrorKind::NotFound,
    }
}
