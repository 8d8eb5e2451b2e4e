//! Tables of frozen networks' logits by (image, view). A frozen network's answer never changes, so it is computed once
//! and shared by all runs of a process, and with later ones through files. The tables are exact: runs give the same
//! bits with and without them.
//!
//! Rows are kept in memory up to a budget. When a table is no longer in use, its new rows are written to a separate
//! file, completely or not at all, named by its contents. Rows beyond the memory budget are read from those files.
//! Beyond the files' budget the oldest files are deleted. A damaged file is ignored and its rows are computed again.

mod key;
mod segment;

use crate::data::Augmentation;
pub use key::TableKey;
use segment::Segment;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of memory for all tables of a process: 2 GiB.
pub const MEMORY_BUDGET: u64 = 2 << 30;
/// Bytes of files for all tables of a store: 8 GiB.
pub const FILE_BUDGET: u64 = 8 << 30;
/// Rows are written to a file once so many bytes of them are new: what a killed process loses.
const NEW_BYTES: usize = 64 << 20;

/// All tables of a process.
#[derive(Debug)]
pub struct LogitTables {
    folder: Option<PathBuf>,
    budget: Arc<Budget>,
    open: Mutex<Vec<Arc<LogitTable>>>,
}

#[derive(Debug)]
struct Budget {
    memory: u64,
    files: u64,
    used: AtomicU64,
}

/// One table.
#[derive(Debug)]
pub struct LogitTable {
    key: TableKey,
    folder: Option<PathBuf>,
    budget: Arc<Budget>,
    rows: Mutex<Rows>,
}

#[derive(Debug)]
struct Rows {
    /// By image and view: 0 for unknown, else the row's number plus 1.
    index: Vec<u32>,
    /// Rows by number, part after part.
    parts: Vec<Part>,
    count: u32,
}

/// Consecutive rows.
#[derive(Debug)]
struct Part {
    first: u32,
    /// Where the rows stand, of those in memory.
    slots: Vec<u32>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory { logits: Vec<f32>, written: bool },
    File(Segment),
}

impl LogitTables {
    /// Tables with files under `folder` (none: in memory only), within the budgets in bytes.
    pub fn new(folder: Option<PathBuf>, memory: u64, files: u64) -> Self {
        let budget = Arc::new(Budget { memory, files, used: AtomicU64::new(0) });
        Self { folder, budget, open: Mutex::new(Vec::new()) }
    }

    /// The table of `key`, with what its files know; none if not even its index fits the budget.
    pub fn table(&self, key: &TableKey) -> Option<Arc<LogitTable>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = open.iter().position(|table| table.key == *key) {
            // The one used last stands last.
            let table = open.remove(at);
            open.push(table.clone());
            return Some(table);
        }
        let index_bytes = 4 * key.slots() as u64;
        if key.slots() >= u32::MAX as usize || index_bytes > self.budget.memory {
            return None;
        }
        // Tables that nobody uses make room, the one unused for longest first.
        while self.budget.used.load(Ordering::Relaxed) + 2 * index_bytes > self.budget.memory {
            let Some(at) = open.iter().position(|table| Arc::strong_count(table) == 1) else { break };
            drop(open.remove(at));
        }
        let folder = self.folder.as_ref().map(|folder| folder.join(key.name()));
        let table = Arc::new(LogitTable::open(key.clone(), folder, self.budget.clone()));
        open.push(table.clone());
        Some(table)
    }
}

impl Drop for LogitTable {
    fn drop(&mut self) {
        self.flush();
        let rows = self.rows.get_mut().unwrap_or_else(PoisonError::into_inner);
        let bytes = rows.parts.iter().map(Part::bytes).sum::<u64>() + 4 * rows.index.len() as u64;
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl LogitTable {
    fn open(key: TableKey, folder: Option<PathBuf>, budget: Arc<Budget>) -> Self {
        let index = vec![0; key.slots()];
        budget.used.fetch_add(4 * index.len() as u64, Ordering::Relaxed);
        let mut rows = Rows { index, parts: Vec::new(), count: 0 };
        for path in folder.iter().flat_map(|folder| segment::files(folder)) {
            match segment::open(&path, &key) {
                Ok((segment, slots)) => {
                    let bytes = (slots.len() * key.classes * 4) as u64;
                    let fits = budget.used.load(Ordering::Relaxed) + bytes <= budget.memory;
                    let place = match segment.logits(0..slots.len(), key.classes) {
                        Ok(logits) if fits => Place::Memory { logits, written: true },
                        _ => Place::File(segment),
                    };
                    let memory = rows.push(slots, place);
                    budget.used.fetch_add(memory, Ordering::Relaxed);
                }
                Err(found) => tracing::warn!("{}: passed over, {found}", path.display()),
            }
        }
        Self { key, folder, budget, rows: Mutex::new(rows) }
    }

    /// Whether its rows are those of views by `augmentation` of the images of `set`.
    pub fn serves(&self, set: &str, augmentation: &Augmentation) -> bool {
        self.key.data == set && self.key.augmentation == *augmentation
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, (image, view): (usize, usize)) -> usize {
        image * self.key.augmentation.count() + view
    }

    /// Copies the known logits of `items`, (image, view) pairs, into `out` `[items, classes]`; the places in `items` of
    /// the unknown ones.
    pub fn look_up(&self, items: &[(usize, usize)], out: &mut [f32]) -> Vec<usize> {
        let classes = self.key.classes;
        let mut rows = self.lock();
        let mut unknown = Vec::new();
        for (place, (&item, row)) in items.iter().zip(out.chunks_exact_mut(classes)).enumerate() {
            if !rows.read(self.slot(item), row) {
                unknown.push(place);
            }
        }
        unknown
    }

    /// Keeps the `logits` `[items, classes]` of `items`, if the budget allows.
    pub fn insert(&self, items: &[(usize, usize)], logits: &[f32]) {
        let classes = self.key.classes;
        let mut rows = self.lock();
        for (&item, row) in items.iter().zip(logits.chunks_exact(classes)) {
            let slot = self.slot(item);
            let bytes = 4 * (classes as u64 + 1);
            if rows.index[slot] != 0 {
                continue;
            }
            if self.budget.used.load(Ordering::Relaxed) + bytes > self.budget.memory && !self.spill(&mut rows)
            {
                return;
            }
            self.budget.used.fetch_add(bytes, Ordering::Relaxed);
            rows.add(slot, row);
        }
        if rows.new_bytes() > NEW_BYTES {
            self.write(&mut rows);
        }
    }

    /// Writes what is new to a file, if there is a folder for it and the budget allows.
    pub fn flush(&self) {
        self.write(&mut self.lock());
    }

    /// Moves rows from memory to files; whether that made room.
    fn spill(&self, rows: &mut Rows) -> bool {
        // Not row by row, each to a file of its own, where other tables have all the memory.
        if rows.parts.iter().map(Part::bytes).sum::<u64>() < self.budget.memory / 16 {
            return false;
        }
        self.write(rows);
        let mut freed = 0;
        for part in &mut rows.parts {
            let bytes = part.bytes();
            let written = matches!(part.place, Place::Memory { written: true, .. });
            let path = self
                .folder
                .as_ref()
                .filter(|_| written)
                .map(|folder| folder.join(segment::name(&self.key, &part.slots)));
            if let Some(Ok((segment, _))) = path.map(|path| segment::open(&path, &self.key)) {
                *part = Part { first: part.first, slots: Vec::new(), place: Place::File(segment) };
                freed += bytes - part.bytes();
            }
        }
        self.budget.used.fetch_sub(freed, Ordering::Relaxed);
        freed > 0
    }

    fn write(&self, rows: &mut Rows) {
        let Some(folder) = &self.folder else { return };
        for part in rows.parts.iter_mut().filter(|part| part.is_new()) {
            let Place::Memory { logits, written } = &mut part.place else { continue };
            match segment::write(folder, &self.key, (&part.slots, logits), self.budget.files) {
                Ok(()) => *written = true,
                // The table is a convenience: without its file the rows are computed again.
                Err(e) => {
                    tracing::warn!(
                        "logits of the weights {} are not kept in {}: {e}",
                        self.key.weights,
                        folder.display()
                    )
                }
            }
        }
    }
}

impl Rows {
    /// Adds the rows at `slots`; the bytes of memory that they take.
    fn push(&mut self, slots: Vec<u32>, place: Place) -> u64 {
        let first = self.count;
        for &slot in &slots {
            self.count += 1;
            self.index[slot as usize] = self.count;
        }
        let slots = if let Place::Memory { .. } = place { slots } else { Vec::new() };
        let part = Part { first, slots, place };
        let bytes = part.bytes();
        self.parts.push(part);
        bytes
    }

    fn add(&mut self, slot: usize, row: &[f32]) {
        if !self.parts.last().is_some_and(Part::is_new) {
            let place = Place::Memory { logits: Vec::new(), written: false };
            self.parts.push(Part { first: self.count, slots: Vec::new(), place });
        }
        let part = self.parts.last_mut().expect("pushed just before");
        if let Place::Memory { logits, .. } = &mut part.place {
            logits.extend_from_slice(row);
            part.slots.push(slot as u32);
            self.count += 1;
            self.index[slot] = self.count;
        }
    }

    /// Copies the logits at `slot` into `row`; whether they are known.
    fn read(&mut self, slot: usize, row: &mut [f32]) -> bool {
        let Some(number) = self.index[slot].checked_sub(1) else { return false };
        let part = self.parts.partition_point(|part| part.first <= number) - 1;
        let part = &self.parts[part];
        let at = (number - part.first) as usize;
        match &part.place {
            Place::Memory { logits, .. } => {
                row.copy_from_slice(&logits[at * row.len()..][..row.len()]);
                true
            }
            Place::File(segment) => match segment.logits(at..at + 1, row.len()) {
                Ok(logits) => {
                    row.copy_from_slice(&logits);
                    true
                }
                Err(_) => {
                    self.index[slot] = 0;
                    false
                }
            },
        }
    }

    fn new_bytes(&self) -> usize {
        self.parts.last().filter(|part| part.is_new()).map_or(0, |part| part.bytes() as usize)
    }
}

impl Part {
    fn is_new(&self) -> bool {
        matches!(self.place, Place::Memory { written: false, .. })
    }

    /// Bytes of memory.
    fn bytes(&self) -> u64 {
        let logits = if let Place::Memory { logits, .. } = &self.place { logits.len() } else { 0 };
        4 * (self.slots.len() + logits) as u64
    }
}

/// Bytes of all files under `folder`.
pub fn file_bytes(folder: &Path) -> u64 {
    segment::all(folder).iter().map(|(_, bytes, _)| bytes).sum()
}

#[cfg(test)]
mod tests;
