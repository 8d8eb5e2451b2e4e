//! A zip archive in memory, read entry by entry.

use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use zip::read::{ArchiveOffset, Config, ZipReadOptions};
use zip::{CompressionMethod, ZipArchive};

/// A zip archive in memory.
pub(super) struct Archive {
    zip: Mutex<ZipArchive<Cursor<Shared>>>,
    /// The most bytes of one entry.
    most: u64,
    /// Whether a checksum did not agree.
    unchecked: AtomicBool,
}

#[derive(Clone)]
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Archive")
    }
}

impl Archive {
    /// The archive that `file` is, with the names of its entries. An entry may have `most` bytes.
    pub(super) fn open(file: &Arc<Vec<u8>>, most: u64) -> Result<(Self, Vec<String>), String> {
        let open = |archive_offset| {
            ZipArchive::with_config(Config { archive_offset }, Cursor::new(Shared(file.clone())))
        };
        // Archives begin at the file's first byte. Detecting another begin misplaces the central directory of some of
        // PyTorch's archives, whose zip64 records lie between the directory and its end.
        let zip = open(ArchiveOffset::Known(0))
            .or_else(|_| open(ArchiveOffset::Detect))
            .map_err(|e| e.to_string())?;
        let names = zip.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        Ok((Self { zip: Mutex::new(zip), most, unchecked: AtomicBool::new(false) }, names))
    }

    /// Whether the checksum of an entry that was read did not agree.
    pub(super) fn unchecked(&self) -> bool {
        self.unchecked.load(Ordering::Relaxed)
    }

    /// The bytes of an entry.
    pub(super) fn read(&self, index: usize) -> Result<Vec<u8>, String> {
        let mut zip = self.zip.lock().unwrap_or_else(PoisonError::into_inner);
        // PyTorch can be told to write no checksums, and reads without looking at them.
        let options = ZipReadOptions::new().ignore_crc32(true);
        let mut entry = zip.by_index_with_options(index, options).map_err(|e| e.to_string())?;
        let (size, expected, method) = (entry.size(), entry.crc32(), entry.compression());
        if size > self.most {
            return Err(format!("an entry of the archive claims {size} bytes"));
        }
        let mut bytes = Vec::new();
        entry.by_ref().take(size + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        if bytes.len() as u64 != size {
            return Err("an entry of the archive is cut off".into());
        }
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        if crc.sum() != expected {
            if method != CompressionMethod::Stored {
                return Err("an entry of the archive is damaged: its checksum does not agree".into());
            }
            self.unchecked.store(true, Ordering::Relaxed);
        }
        Ok(bytes)
    }
}
