//! A table's file: some of its rows, written once.
//!
//! `nasty-logits 2\n`, length of the header (u32), the key as JSON, number of rows (u32), the rows' slots (u32 each),
//! their logits (f32), and the SHA-256 of everything before. Little-endian.

use super::key::TableKey;
use crate::files::write_whole;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const MAGIC: &[u8] = b"nasty-logits 2\n";
/// Longest header that is read; ours have some 200 bytes.
const LONGEST_HEADER: usize = 1 << 16;

/// Rows in a file.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    /// Where the logits begin.
    offset: u64,
}

impl Segment {
    /// The logits of the rows `range`, `classes` each.
    pub(super) fn logits(&self, range: Range<usize>, classes: usize) -> io::Result<Vec<f32>> {
        let mut bytes = vec![0; range.len() * classes * 4];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.offset + (range.start * classes * 4) as u64))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
}

fn encode(key: &TableKey, slots: &[u32], logits: &[f32]) -> Vec<u8> {
    let header = serde_json::to_vec(key).expect("a key is plain data");
    let mut bytes = MAGIC.to_vec();
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.extend(&header);
    bytes.extend((slots.len() as u32).to_le_bytes());
    bytes.extend(slots.iter().flat_map(|s| s.to_le_bytes()));
    bytes.extend(logits.iter().flat_map(|v| v.to_le_bytes()));
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    bytes
}

/// The name of the file with the rows at `slots`: by these, for what stands at a slot never changes.
pub(super) fn name(key: &TableKey, slots: &[u32]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(serde_json::to_vec(key).expect("a key is plain data"));
    for slot in slots {
        hasher.update(slot.to_le_bytes());
    }
    let hex: String = hasher.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("{hex}.bin")
}

/// Writes rows, their slots and their logits, under `folder`, the table's own in the tables' folder, whose files stay within `budget`
/// bytes.
pub(super) fn write(
    folder: &Path,
    key: &TableKey,
    (slots, logits): (&[u32], &[f32]),
    budget: u64,
) -> io::Result<()> {
    let bytes = encode(key, slots, logits);
    let tables = folder.parent().unwrap_or(folder);
    let mut files = all(tables);
    files.sort_by_key(|(.., age)| *age);
    let mut sum: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    for (path, size, _) in files {
        if sum + bytes.len() as u64 <= budget {
            break;
        }
        std::fs::remove_file(&path)?;
        sum -= size;
    }
    if sum + bytes.len() as u64 > budget {
        return Err(io::Error::other(format!("{} bytes do not fit the budget of {budget}", bytes.len())));
    }
    std::fs::create_dir_all(folder)?;
    write_whole(&folder.join(name(key, slots)), &bytes)
}

/// Opens and verifies a file of `key`: its rows, and their slots.
pub(super) fn open(path: &Path, key: &TableKey) -> Result<(Segment, Vec<u32>), String> {
    let io = |e: io::Error| e.to_string();
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut reader = Verified { file: &file, left: length.saturating_sub(32), hasher: Sha256::new() };
    let damaged = || "it is damaged".to_owned();
    if reader.take(MAGIC.len()).ok_or_else(damaged)? != MAGIC {
        return Err("it is not a table of logits".into());
    }
    let header = reader.number().filter(|&n| n <= LONGEST_HEADER).ok_or_else(damaged)?;
    let header = reader.take(header).ok_or_else(damaged)?;
    if serde_json::from_slice::<TableKey>(&header).ok().as_ref() != Some(key) {
        return Err("it is of other weights, numerics, images or views".into());
    }
    let rows = reader.number().filter(|&n| n <= key.slots()).ok_or_else(damaged)?;
    if reader.left != (rows * (4 + 4 * key.classes)) as u64 {
        return Err(damaged());
    }
    let slots = reader.take(4 * rows).ok_or_else(damaged)?;
    let slots: Vec<u32> = slots.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
    if slots.iter().any(|&slot| slot as usize >= key.slots()) {
        return Err(damaged());
    }
    let offset = length - 32 - reader.left;
    while reader.left > 0 {
        reader.take(reader.left.min(1 << 20) as usize).ok_or_else(damaged)?;
    }
    let mut digest = [0; 32];
    (&file).read_exact(&mut digest).map_err(io)?;
    if reader.hasher.finalize()[..] != digest {
        return Err(damaged());
    }
    Ok((Segment { file, offset }, slots))
}

/// Reads a file up to its digest.
struct Verified<'a> {
    file: &'a File,
    left: u64,
    hasher: Sha256,
}

impl Verified<'_> {
    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        // Bounded by the file's own length before anything is allocated.
        self.left = self.left.checked_sub(count as u64)?;
        let mut bytes = vec![0; count];
        self.file.read_exact(&mut bytes).ok()?;
        self.hasher.update(&bytes);
        Some(bytes)
    }

    fn number(&mut self) -> Option<usize> {
        let bytes = self.take(4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    }
}

/// The files of a table's folder, in the order of their names.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> =
        entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "bin")).collect();
    files.sort();
    files
}

/// Every table's files, with bytes and age.
pub(super) fn all(tables: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let folders = std::fs::read_dir(tables).into_iter().flatten().flatten();
    let paths = folders.flat_map(|folder| files(&folder.path()));
    paths
        .filter_map(|path| {
            let about = path.metadata().ok()?;
            Some((path, about.len(), about.modified().unwrap_or(SystemTime::UNIX_EPOCH)))
        })
        .collect()
}
