//! Parquet files that may be damaged or hostile.

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length, SerializedFileReader};
use std::fs::File;
use std::io::{self, BufReader, Read};

/// A reader of the Parquet file `file`. A damaged file may still make it panic.
///
/// # Errors
/// [`ParquetError`] for a file without a proper footer.
pub(crate) fn reader(file: File) -> Result<SerializedFileReader<Bounded>> {
    SerializedFileReader::new(Bounded(file))
}

/// A file that the reader cannot read past its end, where it would skip the elements of a damaged list for ever, nor take memory
/// for more bytes than there are.
pub(crate) struct Bounded(File);

impl Length for Bounded {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for Bounded {
    type T = Ending<BufReader<File>>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(Ending(self.0.get_read(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.saturating_add(length as u64) > self.len() {
            return Err(ParquetError::EOF(format!("{length} bytes from byte {start} are not in the file")));
        }
        self.0.get_bytes(start, length)
    }
}

/// Whose end is an error.
pub(crate) struct Ending<R>(R);

impl<R: Read> Read for Ending<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }
}
