//! Reads files whose size is not trusted.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::error::DataError;

/// Reads a whole file of at most `limit` bytes.
pub(super) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let file = File::open(path).map_err(DataError::io(path))?;
    read_up_to(&path.display().to_string(), file, limit)
}

/// Reads to the end of `reader`, which must come within `limit` bytes. `label` names it in errors.
pub(super) fn read_up_to(label: &str, reader: impl Read, limit: u64) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes).map_err(|error| damaged(label, error))?;
    if bytes.len() as u64 > limit {
        return Err(DataError::malformed(label, format!("at most {limit} bytes"), "more"));
    }
    Ok(bytes)
}

/// Reads to the end of `reader`, which must come after exactly `size` bytes.
pub(super) fn read_exactly(label: &str, reader: impl Read, size: u64) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    reader.take(size + 1).read_to_end(&mut bytes).map_err(|error| damaged(label, error))?;
    let found = match bytes.len() as u64 {
        n if n == size => return Ok(bytes),
        n if n > size => "more".to_owned(),
        n => n.to_string(),
    };
    Err(DataError::malformed(label, format!("{size} bytes"), found))
}

/// Opens a file, seeing through gzip by its first two bytes.
pub(super) fn open_maybe_gzip(path: &Path) -> Result<Box<dyn Read>, DataError> {
    maybe_gzip(BufReader::with_capacity(1 << 16, File::open(path).map_err(DataError::io(path))?))
        .map_err(DataError::io(path))
}

/// Sees through gzip by the first two bytes.
pub(super) fn maybe_gzip<'a>(mut reader: impl BufRead + 'a) -> std::io::Result<Box<dyn Read + 'a>> {
    let zipped = reader.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if zipped { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) })
}

/// A read error as the fault of the file, where it is (a broken gzip stream), or of the system.
pub(super) fn damaged(label: &str, error: std::io::Error) -> DataError {
    match error.kind() {
        // `Other` is what readers of archives make up; the system never says so.
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::Other => {
            DataError::malformed(label, "an intact file", format!("a damaged one ({error})"))
        }
        _ => DataError::Io { path: label.to_owned(), source: error },
    }
}
