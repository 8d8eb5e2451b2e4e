//! TensorBoard event files: scalars, appended as they arrive, one file per run.
//!
//! A file is a sequence of records: length (u64), its masked CRC, data, its masked CRC, all little-endian. A record's
//! data is a protobuf `Event` (tensorflow/core/util/event.proto); the few fields used here are encoded by hand.

mod proto;

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use miette::Diagnostic;

/// TensorBoard takes every file whose name contains `tfevents`. The name is always the same, so that a resumed run
/// goes on in its own file.
const NAME: &str = "events.out.tfevents.nasty-teacher";
/// What the first event of a file says.
const VERSION: &str = "brain.Event:2";
/// Longest record that is read; ours have a few hundred bytes.
const LONGEST: u64 = 1 << 20;

/// An event file that cannot be written or read.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum EventError {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {path}", path = path.display())]
    #[diagnostic(help("check that the folder exists, can be written to and has space left"))]
    Io {
        /// What was tried, as a verb: "write", "open", …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// An event file's beginning is not one of ours, or not TensorBoard's.
    #[error("{path}: expected a TensorBoard event file, found {found}", path = path.display())]
    #[diagnostic(help("move the file away; a new one is started in its place"))]
    Events {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
}

impl crate::Classified for EventError {
    fn class(&self) -> crate::ErrorClass {
        crate::ErrorClass::Data
    }
}

impl EventError {
    /// Wraps a system error with what was tried on which path.
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// A number of an event file.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// What it measures, e.g. `train/loss`; TensorBoard groups by what stands before the slash.
    pub tag: String,
    /// The step at which it was measured.
    pub step: u64,
    /// The number.
    pub value: f32,
    /// When it was written, seconds since 1970.
    pub wall_time: f64,
}

/// Appends scalars to a run's event file.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventWriter {
    /// Starts a run's event file in `folder`, which is made if absent; a file of an earlier run is emptied.
    ///
    /// # Errors
    /// [`EventError::Io`] if the file cannot be written.
    pub fn create(folder: &Path) -> Result<Self, EventError> {
        std::fs::create_dir_all(folder).map_err(EventError::io("create", folder))?;
        let path = folder.join(NAME);
        let file = File::create(&path).map_err(EventError::io("create", &path))?;
        let mut writer = Self { path, file: BufWriter::new(file) };
        writer.record(&proto::version(now(), VERSION))?;
        writer.flush()?;
        Ok(writer)
    }

    /// Goes on with a run's event file in `folder` after `truncate_after_step`, the step that the run resumes from: later
    /// events, and a record that an interruption left torn, are cut off. Starts the file if there is none.
    ///
    /// # Errors
    /// [`EventError::Events`] if the file does not begin as an event file; [`EventError::Io`] if it cannot be
    /// read or written.
    pub fn open(folder: &Path, truncate_after_step: u64) -> Result<Self, EventError> {
        let path = folder.join(NAME);
        let file = match OpenOptions::new().read(true).append(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Self::create(folder),
            Err(error) => return Err(EventError::io("open", &path)(error)),
        };
        let mut end = 0;
        for record in Records::new(&path, &file) {
            let Record { event, end: record_end } = record?;
            if event.step > truncate_after_step {
                break;
            }
            end = record_end;
        }
        if end == 0 {
            // Not even the first record was written whole.
            return Self::create(folder);
        }
        file.set_len(end).map_err(EventError::io("truncate", &path))?;
        Ok(Self { path, file: BufWriter::new(file) })
    }

    /// Appends the values measured at `step`, each under its tag.
    ///
    /// # Errors
    /// [`EventError::Io`] if the file cannot be written.
    pub fn scalars(&mut self, step: u64, values: &[(&str, f32)]) -> Result<(), EventError> {
        self.record(&proto::scalars(now(), step, values))
    }

    /// Hands what was appended to the system, so that TensorBoard sees it.
    ///
    /// # Errors
    /// [`EventError::Io`] if the file cannot be written.
    pub fn flush(&mut self) -> Result<(), EventError> {
        self.file.flush().map_err(EventError::io("write", &self.path))
    }

    /// Reads the scalars of a run's event file in `folder`, in the order they were written, up to the first record
    /// that is not whole.
    ///
    /// # Errors
    /// [`EventError::Events`] if the file does not begin as an event file; [`EventError::Io`] if it cannot be read.
    pub fn read(folder: &Path) -> Result<Vec<Scalar>, EventError> {
        let path = folder.join(NAME);
        let file = File::open(&path).map_err(EventError::io("open", &path))?;
        let mut scalars = Vec::new();
        for record in Records::new(&path, &file) {
            let event = record?.event;
            scalars.extend(event.values.into_iter().map(|(tag, value)| Scalar {
                tag,
                step: event.step,
                value,
                wall_time: event.wall_time,
            }));
        }
        Ok(scalars)
    }

    fn record(&mut self, data: &[u8]) -> Result<(), EventError> {
        let length = (data.len() as u64).to_le_bytes();
        let parts: [&[u8]; 4] = [&length, &masked_crc(&length), data, &masked_crc(data)];
        self.file.write_all(&parts.concat()).map_err(EventError::io("write", &self.path))
    }
}

/// A record and where it ends in the file.
struct Record {
    event: proto::Event,
    end: u64,
}

/// The whole records at the beginning of a file, the first of which must state the version.
struct Records<'a> {
    path: &'a Path,
    reader: BufReader<&'a File>,
    end: u64,
}

impl<'a> Records<'a> {
    fn new(path: &'a Path, file: &'a File) -> Self {
        Self { path, reader: BufReader::new(file), end: 0 }
    }

    /// The next record's data; none if it is torn or damaged.
    fn data(&mut self) -> Result<Option<Vec<u8>>, std::io::Error> {
        let mut head = [0; 12];
        if !filled(&mut self.reader, &mut head)? {
            return Ok(None);
        }
        let (length, length_crc) = head.split_at(8);
        let size = u64::from_le_bytes(length.try_into().unwrap_or_default());
        if masked_crc(length) != length_crc || size > LONGEST {
            return Ok(None);
        }
        let mut data = vec![0; size as usize + 4];
        if !filled(&mut self.reader, &mut data)? {
            return Ok(None);
        }
        let crc = data.split_off(size as usize);
        Ok(Some(data).filter(|data| masked_crc(data)[..] == crc))
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, EventError>;

    fn next(&mut self) -> Option<Self::Item> {
        let data = match self.data() {
            Ok(data) => data,
            Err(error) => return Some(Err(EventError::io("read", self.path)(error))),
        };
        let event = data.as_deref().and_then(proto::parse);
        let first = self.end == 0;
        let wrong = |found: &str| {
            Some(Err(EventError::Events { path: self.path.to_owned(), found: found.to_owned() }))
        };
        match (event, data) {
            (Some(event), _) if first && event.version.as_deref() != Some(VERSION) => {
                wrong("another version")
            }
            (Some(event), Some(data)) => {
                self.end += 16 + data.len() as u64;
                Some(Ok(Record { event, end: self.end }))
            }
            // A file cut within its first record is one whose run was interrupted at once.
            _ if first && self.path.metadata().is_ok_and(|file| file.len() > 64) => wrong("something else"),
            _ => None,
        }
    }
}

/// Fills `buffer`; false if the file ends before that.
fn filled(reader: &mut impl Read, buffer: &mut [u8]) -> Result<bool, std::io::Error> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// CRC-32C rotated and offset (tensorflow/core/lib/hash/crc32c.h), so that a CRC of data holding CRCs stays strong.
fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8).to_le_bytes()
}

/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78).
fn crc32c(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut crc = index as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
                bit += 1;
            }
            table[index] = crc;
            index += 1;
        }
        table
    };
    !data.iter().fold(!0, |crc, &byte| TABLE[(crc as u8 ^ byte) as usize] ^ crc >> 8)
}

#[cfg(test)]
mod tests;
