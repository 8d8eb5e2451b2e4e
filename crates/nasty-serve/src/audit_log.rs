//! The audit log: one JSON object a line for every answered request, written before the answer leaves.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

/// What is known of an answered request.
#[derive(Serialize)]
pub(crate) struct Entry<'a> {
    /// When, by RFC 3339, in UTC.
    pub(crate) time: String,
    /// The key's name, where there are keys.
    pub(crate) key: Option<&'a str>,
    /// The client's id of the request.
    pub(crate) id: Option<&'a str>,
    pub(crate) images: usize,
    /// Of each image's pixels `[height, width, channels]`, 8 bits a channel.
    pub(crate) sha256: Vec<String>,
    /// The predicted class of each answer as it was served.
    pub(crate) top1: Vec<usize>,
    /// The defences that the answers went through.
    pub(crate) defence: &'a str,
    pub(crate) revealed: &'a str,
    /// Images of the key's budget that are left afterwards.
    pub(crate) budget_left: Option<u64>,
}

/// A file that lines are appended to.
pub(crate) struct AuditLog {
    path: PathBuf,
    file: Mutex<File>,
}

impl AuditLog {
    /// Opens the file at `path`, made if absent.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: Mutex::new(append(path)?) })
    }

    /// Opens the file anew: it may have been moved away.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let file = append(&self.path)?;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    /// Appends a line, whole or not at all.
    pub(crate) fn write(&self, entry: &Entry<'_>) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry).expect("plain data has a JSON form");
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let length = file.metadata()?.len();
        file.write_all(&line).inspect_err(|_| drop(file.set_len(length)))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The time, as entries have it.
pub(crate) fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}
