//! Who holds a run, for people.

use super::lease::{CLAIM, Lease};
use serde::Serialize;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

/// The process that works on a run, as its lease says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its host.
    pub host: String,
    /// Its number there.
    pub process: u32,
    /// The batch job that it is part of.
    pub job: Option<String>,
    /// Seconds since 1970, by its own clock: when it claimed the run.
    pub since: Option<u64>,
    /// Seconds since it renewed its lease last. Exact only as far as this host's clock agrees with that of the file system.
    pub silent: u64,
}

/// Who holds the run in `folder`; none if nobody does, or if the lease cannot be read just now.
pub(in crate::lab) fn holder(folder: &Path) -> Option<Holder> {
    let path = folder.join(CLAIM);
    let bytes = match fs::read(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return None,
        other => other.ok()?,
    };
    let renewed = path.metadata().and_then(|found| found.modified()).ok()?;
    let silent = SystemTime::now().duration_since(renewed).map_or(0, |age| age.as_secs());
    let lease: Lease = serde_json::from_slice(&bytes).ok()?;
    let Lease { host, process, job, since, .. } = lease;
    Some(Holder { host, process, job, since, silent })
}
