//! The answers that a victim gave, as they came: no answer that was paid for is lost, and none is asked for twice.
//!
//! One file `answers.log` for each victim and interface, in the store's folder `answers-<key>`, and one in `answers-<key>-<run>` for
//! a run that asks about a great many images of its own. It only grows. First a line of
//! JSON says whose answers these are. Then records follow, each with a checksum:
//! - *about to ask*: the number of images of the next request. It is on disk before the request leaves.
//! - *answer*: an image, known by the SHA-256 of its pixels, which of its answers this is (the first, the second, …), and the
//!   row.
//!
//! Queries spent are the sum of the requests. A process that is killed between request and answers leaves a request without
//! answers: these images count as asked, and are asked again. A half-written record at the end is cut off.

use super::store_error::{StoreError, io_error};
use crate::victim::{Interface, Scale};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
const FILE: &str = "answers.log";
const EXPECTED: &str = "a log of a victim's answers";
const ABOUT_TO_ASK: u8 = 1;
const ANSWER: u8 = 2;
/// Kind, number, image.
const HEAD: usize = 1 + 4 + 32;
const CHECKSUM: usize = 4;
/// A header line is no longer.
const LONGEST_HEADER: usize = 4096;

/// Which image, and which of its answers.
pub type Question = ([u8; 32], u32);

/// Whose answers a log has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Whose {
    /// The victim's identity, interface aside.
    pub identity: String,
    /// How its answers are given out.
    pub interface: Interface,
    /// Classes.
    pub classes: usize,
    /// What the numbers are.
    pub scale: Scale,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    #[serde(flatten)]
    whose: Whose,
}

impl Whose {
    /// The name of the folder of its log, within a store.
    pub fn folder(&self) -> String {
        format!("answers-{}", crate::training::identity(self))
    }

    /// The name of the folder of the log of those answers that only the run `run` is for.
    pub(super) fn folder_for(&self, run: &str) -> String {
        format!("{}-{run}", self.folder())
    }
}

/// A victim's answers so far.
#[derive(Debug)]
pub struct AnswerLog {
    path: PathBuf,
    /// Open for appending; none for reading only.
    file: Option<File>,
    classes: usize,
    scale: Scale,
    known: HashMap<Question, usize>,
    /// `[answers, classes]`.
    rows: Vec<f32>,
    asked: u64,
}

impl AnswerLog {
    /// The log in `folder`, made if absent, for asking on. Its owner must have claimed it.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or written, or is another victim's.
    pub fn open(folder: &Path, whose: &Whose) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        let mut log = match fs::read(&path) {
            Ok(bytes) => Self::parse(&path, &bytes, whose)?,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let header = Header { format: FORMAT, whose: whose.clone() };
                let line = serde_json::to_string(&header).expect("plain data") + "\n";
                crate::files::write_whole(&path, line.as_bytes()).map_err(io_error(&path))?;
                (Self::empty(&path, whose), line.len() as u64)
            }
            Err(e) => return Err(io_error(&path)(e)),
        };
        let file = OpenOptions::new().write(true).open(&path).map_err(io_error(&path))?;
        // What a killed process left half written would hide all that follows.
        let opened = file.set_len(log.1).and_then(|()| {
            let mut file = &file;
            io::Seek::seek(&mut file, io::SeekFrom::End(0))
        });
        opened.map_err(io_error(&path))?;
        log.0.file = Some(file);
        Ok(log.0)
    }

    /// The log in `folder` for reading only.
    ///
    /// # Errors
    /// [`StoreError`] if there is none, or it is another victim's.
    pub fn read(folder: &Path, whose: &Whose) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let bytes = fs::read(&path).map_err(io_error(&path))?;
        Ok(Self::parse(&path, &bytes, whose)?.0)
    }

    fn empty(path: &Path, whose: &Whose) -> Self {
        let (classes, scale) = (whose.classes, whose.scale);
        let known = HashMap::new();
        Self { path: path.to_owned(), file: None, classes, scale, known, rows: Vec::new(), asked: 0 }
    }

    /// The log that `bytes` are, and how many of them are whole.
    fn parse(path: &Path, bytes: &[u8], whose: &Whose) -> Result<(Self, u64), StoreError> {
        let damaged =
            |found: String| StoreError::Damaged { path: path.to_owned(), expected: EXPECTED, found };
        let end = bytes.iter().take(LONGEST_HEADER).position(|b| *b == b'\n');
        let end = end.ok_or_else(|| damaged("no header".into()))?;
        let header: Header = serde_json::from_slice(&bytes[..end]).map_err(|e| damaged(e.to_string()))?;
        if header.format != FORMAT {
            return Err(damaged(format!("format {}, known is {FORMAT}", header.format)));
        }
        if header.whose != *whose {
            return Err(damaged(format!("answers of {}", header.whose.identity)));
        }
        let mut log = Self::empty(path, whose);
        let size = HEAD + 4 * log.classes + CHECKSUM;
        let mut at = end + 1;
        // Answers that the last request still waits for.
        let mut outstanding = 0;
        while let Some(record) = bytes.get(at..at + size) {
            let (body, sum) = record.split_at(size - CHECKSUM);
            let number = u32::from_le_bytes(body[1..5].try_into().expect("four bytes"));
            if checksum(body) != sum {
                break;
            }
            match body[0] {
                ABOUT_TO_ASK => {
                    log.asked += u64::from(number);
                    outstanding = number as usize;
                }
                ANSWER => {
                    let image = body[5..HEAD].try_into().expect("32 bytes");
                    let row = body[HEAD..].chunks_exact(4);
                    let row = row.map(|v| f32::from_le_bytes(v.try_into().expect("four bytes")));
                    log.known.insert((image, number), log.rows.len() / log.classes);
                    log.rows.extend(row);
                    outstanding = outstanding.saturating_sub(1);
                }
                kind => return Err(damaged(format!("a record of kind {kind}"))),
            }
            at += size;
        }
        // Only what was being written last may be broken: the next request, or the answers to the last one.
        if bytes.len() - at > size * outstanding.max(1) {
            return Err(damaged(format!("a broken record at byte {at} of {}", bytes.len())));
        }
        Ok((log, at as u64))
    }

    /// Whether the answer to `question` is known.
    pub fn knows(&self, question: &Question) -> bool {
        self.known.contains_key(question)
    }

    /// The answer to `question`, if it is known.
    pub fn row(&self, question: &Question) -> Option<&[f32]> {
        self.known.get(question).map(|at| &self.rows[at * self.classes..][..self.classes])
    }

    /// Answers that came after the answer to `first` and before that to `then`; none if one is not known.
    pub fn between(&self, first: &Question, then: &Question) -> Option<u64> {
        let (first, then) = (self.known.get(first)?, self.known.get(then)?);
        then.checked_sub(first + 1).map(|n| n as u64)
    }

    /// Images asked about so far, answered or not: the queries spent.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// Images asked about whose answers never arrived.
    pub fn unanswered(&self) -> u64 {
        self.asked - self.known.len() as u64
    }

    /// What the numbers are.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// Notes, on disk, that `images` images are about to be asked about.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then they must not be.
    pub fn about_to_ask(&mut self, images: usize) -> Result<(), StoreError> {
        let number = u32::try_from(images).expect("a request is smaller");
        let mut record = vec![0; HEAD + 4 * self.classes];
        record[0] = ABOUT_TO_ASK;
        record[1..5].copy_from_slice(&number.to_le_bytes());
        self.append(&record)?;
        self.asked += images as u64;
        Ok(())
    }

    /// Writes the answers `rows` `[questions, classes]` to disk.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn answered(&mut self, questions: &[Question], rows: &[f32]) -> Result<(), StoreError> {
        let mut records = Vec::new();
        for ((image, number), row) in questions.iter().zip(rows.chunks_exact(self.classes)) {
            records.push(ANSWER);
            records.extend(number.to_le_bytes());
            records.extend(image);
            records.extend(row.iter().flat_map(|v| v.to_le_bytes()));
        }
        self.append(&records)?;
        for (question, row) in questions.iter().zip(rows.chunks_exact(self.classes)) {
            self.known.insert(*question, self.rows.len() / self.classes);
            self.rows.extend(row);
        }
        Ok(())
    }

    /// Appends records, given without their checksums, and syncs them.
    fn append(&mut self, records: &[u8]) -> Result<(), StoreError> {
        let size = HEAD + 4 * self.classes;
        let bytes: Vec<u8> =
            records.chunks_exact(size).flat_map(|body| [body, &checksum(body)].concat()).collect();
        let mut file = self.file.as_ref().expect("opened for asking");
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        written.map_err(io_error(&self.path))
    }
}

/// The first bytes of the SHA-256.
fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    use sha2::{Digest, Sha256};
    Sha256::digest(body)[..CHECKSUM].try_into().expect("a digest is longer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose() -> Whose {
        Whose {
            identity: "v".into(),
            interface: Interface::Probabilities,
            classes: 2,
            scale: Scale::Probabilities,
        }
    }

    #[test]
    fn answers_come_back_and_what_was_broken_off_is_asked_again() {
        let folder = tempfile::tempdir().expect("temp");
        let open = || AnswerLog::open(folder.path(), &whose()).expect("fine");
        let questions: Vec<Question> = (0..3).map(|i| ([i; 32], 0)).collect();
        let mut log = open();
        log.about_to_ask(2).expect("writable");
        log.answered(&questions[..2], &[0.25, 0.75, 1.0, 0.0]).expect("writable");
        drop(log);
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).expect("there");

        // Killed after the request left; and while the answer was being written.
        let mut log = open();
        log.about_to_ask(1).expect("writable");
        let asked = fs::metadata(&path).expect("there").len();
        log.answered(&questions[2..], &[0.5, 0.5]).expect("writable");
        drop(log);
        let answered = fs::read(&path).expect("there");
        for cut in asked..answered.len() as u64 {
            fs::write(&path, &answered[..cut as usize]).expect("writable");
            let log = open();
            assert_eq!((log.asked(), log.unanswered(), log.knows(&questions[2])), (3, 1, false), "{cut}");
            assert_eq!(log.row(&questions[1]), Some(&[1.0, 0.0][..]));
            assert_eq!(fs::metadata(&path).expect("there").len(), asked, "the broken end is cut off");
        }
        // A request that was itself broken off never left.
        fs::write(&path, &answered[..whole.len() + 10]).expect("writable");
        assert_eq!((open().asked(), open().unanswered()), (2, 0));

        let mut log = open();
        log.about_to_ask(1).expect("writable");
        log.answered(&[([0; 32], 1)], &[0.5, 0.5]).expect("writable");
        assert_eq!(open().row(&([0; 32], 1)), Some(&[0.5, 0.5][..]), "the second answer to an image");
    }

    #[test]
    fn damage_in_the_middle_and_anothers_answers_are_refused() {
        let folder = tempfile::tempdir().expect("temp");
        let mut log = AnswerLog::open(folder.path(), &whose()).expect("fine");
        log.about_to_ask(3).expect("writable");
        let questions: Vec<Question> = (0..3).map(|i| ([i; 32], 0)).collect();
        log.answered(&questions, &[0.5; 6]).expect("writable");
        drop(log);
        let other = Whose { identity: "w".into(), ..whose() };
        let message =
            |whose: &Whose| AnswerLog::open(folder.path(), whose).expect_err("must fail").to_string();
        assert!(message(&other).contains("answers of v"));
        let path = folder.path().join(FILE);
        let mut bytes = fs::read(&path).expect("there");
        let at = bytes.iter().position(|b| *b == b'\n').expect("a header") + 10;
        bytes[at] ^= 1;
        fs::write(&path, bytes).expect("writable");
        let found = message(&whose());
        assert!(found.contains("a broken record"), "{found}");
    }
}
