//! What each key has used, on disk. An amount is appended and synced before the answer that it pays for leaves: whatever
//! ends the process, no answer was given that is not written here.
//!
//! A text file: `nasty-ledger 1`, then one line for an amount, `images<TAB>name<TAB>check`. Amounts that arrive together
//! share a sync. At start, the lines of each name become one. A last line that was cut off, by a power failure, was never
//! synced: its answer did not leave, and it is dropped. Damage anywhere else is an error.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use miette::Diagnostic;
use nasty_teacher::{Classified, ErrorClass, write_whole};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

const FORMAT: &str = "nasty-ledger 1";
/// Amounts that share a sync, at most.
const MOST_TOGETHER: usize = 4096;

/// A ledger that cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum LedgerError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process uses it.
    #[error("{} is in use by another server", path.display())]
    #[diagnostic(help("two servers that share keys need a ledger each, and budgets of their own"))]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is not a ledger, or it is damaged.
    #[error("{}, line {line}: expected {expected}, found `{found}`", path.display())]
    #[diagnostic(help("restore the file from a copy; without it, nobody knows what was used"))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
}

impl Classified for LedgerError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Data
    }
}

/// Amounts to be written.
struct Amount {
    line: String,
    written: oneshot::Sender<bool>,
}

/// A ledger that is open for appending.
pub(crate) struct Ledger {
    /// None while it ends.
    amounts: Option<Sender<Amount>>,
    writer: Option<JoinHandle<()>>,
    /// Held as long as the ledger is open.
    _lock: File,
}

impl Ledger {
    /// Opens the ledger at `path`, made if absent; gives what each name has used.
    pub(crate) fn open(path: &Path) -> Result<(Self, BTreeMap<String, u64>), LedgerError> {
        let fail = |source| LedgerError::Io { path: path.to_owned(), source };
        let lock = lock(path)?;
        let totals = match fs::read(path) {
            Ok(bytes) => totals(path, &bytes)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(fail(e)),
        };
        let mut text = format!("{FORMAT}\n");
        text.extend(totals.iter().map(|(name, images)| line(name, *images)));
        write_whole(path, text.as_bytes()).map_err(fail)?;
        let file = OpenOptions::new().append(true).open(path).map_err(fail)?;
        let (amounts, received) = mpsc::channel();
        let (path, length) = (path.to_owned(), text.len() as u64);
        let writer = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || Writer { path, file, length }.run(&received))
            .map_err(fail)?;
        Ok((Self { amounts: Some(amounts), writer: Some(writer), _lock: lock }, totals))
    }

    /// Writes that `name` has used `images` more. The receiver says whether it is on disk.
    pub(crate) fn add(&self, name: &str, images: u64) -> oneshot::Receiver<bool> {
        let (written, on_disk) = oneshot::channel();
        if let Some(amounts) = &self.amounts {
            // Without a writer, the receiver finds its sender gone.
            let _ = amounts.send(Amount { line: line(name, images), written });
        }
        on_disk
    }
}

/// What was added is still written.
impl Drop for Ledger {
    fn drop(&mut self) {
        self.amounts = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

struct Writer {
    path: PathBuf,
    file: File,
    /// Bytes that are whole lines, synced.
    length: u64,
}

impl Writer {
    /// Writes what comes, until nothing more can come or the file refuses.
    fn run(mut self, amounts: &Receiver<Amount>) {
        while let Ok(first) = amounts.recv() {
            let together: Vec<Amount> =
                std::iter::once(first).chain(amounts.try_iter().take(MOST_TOGETHER)).collect();
            let text: String = together.iter().map(|amount| amount.line.as_str()).collect();
            let end = self.append(text.as_bytes());
            for amount in together {
                let _ = amount.written.send(end.is_ok());
            }
            match end {
                Ok(()) => {}
                Err(Failure::Undone(e)) => {
                    tracing::error!("{}: {e}; what needs it is refused", self.path.display());
                }
                Err(Failure::Unknown(e)) => {
                    tracing::error!(
                        "{}: {e}; nothing more is answered until the server is started again",
                        self.path.display()
                    );
                    return;
                }
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if let Err(e) = self.file.write_all(bytes) {
            // A part may be there. The file must end with a whole line again.
            return Err(match self.file.set_len(self.length) {
                Ok(()) => Failure::Undone(e),
                Err(_) => Failure::Unknown(e),
            });
        }
        // After a sync that failed, what is on disk is unknown, whatever later ones say.
        self.file.sync_data().map_err(Failure::Unknown)?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

enum Failure {
    /// Nothing was written.
    Undone(io::Error),
    /// The file's state is unknown.
    Unknown(io::Error),
}

/// A file beside the ledger, locked by this process: the ledger itself is replaced at every start.
fn lock(path: &Path) -> Result<File, LedgerError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let beside = PathBuf::from(name);
    let fail = |source| LedgerError::Io { path: beside.clone(), source };
    let file = OpenOptions::new().create(true).append(true).open(&beside).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(e)) => Err(fail(e)),
    }
}

fn line(name: &str, images: u64) -> String {
    let amount = format!("{images}\t{name}");
    format!("{amount}\t{}\n", check(&amount))
}

/// The first 8 hexadecimal digits of the SHA-256.
fn check(amount: &str) -> String {
    Sha256::digest(amount).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// What each name has used, by the ledger's bytes.
fn totals(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, u64>, LedgerError> {
    let damaged = |line: usize, expected, found: &[u8]| LedgerError::Damaged {
        path: path.to_owned(),
        line: line + 1,
        expected,
        found: String::from_utf8_lossy(found).chars().take(80).collect(),
    };
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let head = lines.first().copied().unwrap_or_default();
    if head.strip_suffix(b"\n") != Some(FORMAT.as_bytes()) {
        return Err(damaged(0, FORMAT, head));
    }
    let amounts: Vec<Option<(&str, u64)>> = lines.iter().map(|line| amount(line)).collect();
    // What was cut off is what no whole line follows.
    let whole = amounts.iter().rposition(Option::is_some).map_or(1, |last| last + 1);
    let mut totals = BTreeMap::<String, u64>::new();
    for (i, amount) in amounts[..whole].iter().enumerate().skip(1) {
        let (name, images) = amount.ok_or_else(|| damaged(i, "an amount with its check", lines[i]))?;
        let total = totals.entry(name.to_owned()).or_default();
        *total = total.saturating_add(images);
    }
    Ok(totals)
}

/// A whole line's name and images.
fn amount(line: &[u8]) -> Option<(&str, u64)> {
    let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (amount, found) = text.rsplit_once('\t')?;
    let (images, name) = amount.split_once('\t').filter(|_| found == check(amount))?;
    Some((name, images.parse().ok()?))
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
