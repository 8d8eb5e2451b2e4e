//! Audits in a store: `audits/NAME.json` says which tasks an audit consists of, and whom it asks, so that they are known to be needed.

use super::store::Store;
use super::store_error::{StoreError, io_error};
use crate::files::write_whole;
use crate::training::identity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

const FORMAT: u32 = 1;
const FOLDER: &str = "audits";

/// An audit, as its store knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAudit {
    format: u32,
    /// The command that makes its report again.
    pub command: String,
    /// Those of the victims, and of the owner's networks that their defences use, that are in the store.
    pub victims: BTreeSet<String>,
    /// The hashes of its tasks.
    pub tasks: BTreeSet<String>,
}

impl KeptAudit {
    /// The audit of `victims`, as they were typed, that consists of `tasks`.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the store cannot be read.
    pub fn new<'v>(
        store: &Store,
        command: &str,
        victims: impl IntoIterator<Item = &'v str>,
        tasks: BTreeSet<String>,
    ) -> Result<Self, StoreError> {
        let names = store.names()?;
        let here = store.root().canonicalize().ok();
        let meant = |victim: &'v str| {
            let folder = Path::new(victim).canonicalize().ok();
            let inside = folder.filter(|folder| here.is_some() && folder.parent() == here.as_deref());
            let inside = inside.and_then(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()));
            let begins = move |name: &&String| !victim.is_empty() && name.starts_with(victim);
            names.iter().filter(begins).cloned().chain(inside).collect::<Vec<String>>()
        };
        let victims = victims.into_iter().flat_map(meant).collect();
        Ok(Self { format: FORMAT, command: command.to_owned(), victims, tasks })
    }
}

impl Store {
    /// Keeps `audit`; one with the same tasks is replaced.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written.
    pub fn keep_audit(&self, audit: &KeptAudit) -> Result<(), StoreError> {
        let folder = self.root().join(FOLDER);
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        let path = folder.join(format!("{}.json", identity(&audit.tasks)));
        let text = serde_json::to_string_pretty(audit).expect("plain data") + "\n";
        write_whole(&path, text.as_bytes()).map_err(io_error(&path))
    }

    /// The audits that were begun here, with their names.
    ///
    /// # Errors
    /// [`StoreError`] if one cannot be read.
    pub fn audits(&self) -> Result<Vec<(String, KeptAudit)>, StoreError> {
        let folder = self.root().join(FOLDER);
        let entries = match fs::read_dir(&folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(io_error(&folder))?,
        };
        let mut audits = Vec::new();
        for entry in entries {
            let path = entry.map_err(io_error(&folder))?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            audits.push((name, read(&path)?));
        }
        audits.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(audits)
    }
}

fn read(path: &Path) -> Result<KeptAudit, StoreError> {
    let bytes = fs::read(path).map_err(io_error(path))?;
    let damaged =
        |found| StoreError::Damaged { path: path.to_owned(), expected: "the tasks of an audit", found };
    let audit: KeptAudit = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    match audit.format {
        FORMAT => Ok(audit),
        other => Err(damaged(format!("format {other}, known is {FORMAT}"))),
    }
}
