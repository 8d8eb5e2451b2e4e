//! Recorded answers as a table: CSV or parquet with one row an image.
//!
//! The columns are `sha256` (64 hexadecimal digits; in parquet also 32 bytes) or `index`, if there is one of them, and one column
//! a class, called as the class.

use super::recording::Recording;
use super::rows::{ABOVE_ONE, MOST_BYTES, Rows};
use crate::panics::caught;
use crate::parquet_file;
use crate::victim::{Scale, VictimError};
use parquet::file::reader::FileReader;
use parquet::record::Field;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

/// A table's contents.
pub(super) struct Table {
    /// The classes' names.
    pub(super) names: Vec<String>,
    /// `[images, classes]`.
    pub(super) scores: Vec<f32>,
    pub(super) rows: Rows,
}

/// What an image is known by, one a row.
#[derive(Default)]
struct Keys {
    hashes: Vec<[u8; 32]>,
    places: Vec<usize>,
}

/// What a column holds.
#[derive(Clone, Copy, PartialEq)]
enum Column {
    Hash,
    Place,
    Class,
}

impl Table {
    /// The table in the file at `path`, whose name ends in `.csv` or `.parquet`.
    pub(super) fn read(path: &Path) -> Result<Self, VictimError> {
        let file = File::open(path).map_err(|source| VictimError::Io { path: path.to_owned(), source })?;
        let size = file.metadata().map_err(|source| VictimError::Io { path: path.to_owned(), source })?.len();
        let fault = |found: String| VictimError::format(path, "a table of recorded answers", found);
        if size > MOST_BYTES {
            return Err(fault(format!("{size} bytes, at most {MOST_BYTES} are read")));
        }
        let is_csv = Recording::of(path) == Some(Recording::Csv);
        let read = || if is_csv { csv(file) } else { parquet(file) };
        // A damaged file must not end the program, whatever a reader thinks of it.
        let table = caught(read).unwrap_or_else(|_| Err("a damaged file".to_owned()));
        table.map_err(fault)
    }

    fn of(names: Vec<String>, keys: Keys, scores: Vec<f32>) -> Result<Self, String> {
        if names.len() < 2 {
            return Err(format!("{} columns of classes; each class has one", names.len()));
        }
        let images = scores.len() / names.len();
        let rows = if !keys.hashes.is_empty() {
            Rows::ByContent(keys.hashes.into_iter().zip(0..).collect())
        } else {
            let places = if keys.places.is_empty() { (0..images).collect() } else { keys.places };
            let rows: HashMap<usize, usize> = places.into_iter().zip(0..).collect();
            if rows.len() < images {
                return Err(format!("{} places for {images} answers: index repeats", rows.len()));
            }
            Rows::ByPlace { rows, set: None }
        };
        Ok(Self { names, scores, rows })
    }
}

fn column(name: &str) -> Column {
    match name.trim() {
        "sha256" => Column::Hash,
        "index" => Column::Place,
        _ => Column::Class,
    }
}

fn csv(file: File) -> Result<Table, String> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let header: Vec<String> =
        reader.headers().map_err(|e| e.to_string())?.iter().map(str::to_owned).collect();
    let columns: Vec<Column> = header.iter().map(|name| column(name)).collect();
    check(&columns)?;
    let (mut keys, mut scores) = (Keys::default(), Vec::new());
    for (number, record) in reader.records().enumerate() {
        let record = record.map_err(|e| e.to_string())?;
        for ((text, column), name) in record.iter().zip(&columns).zip(&header) {
            let wrong = |what: &str| {
                format!("`{text:.40}` in row {} of the column {name}, expected {what}", number + 1)
            };
            match column {
                Column::Hash => keys.hashes.push(hash(text).ok_or_else(|| wrong("64 hexadecimal digits"))?),
                Column::Place => keys.places.push(text.parse().map_err(|_| wrong("a place, from 0"))?),
                Column::Class => scores.push(text.parse().map_err(|_| wrong("a number"))?),
            }
        }
    }
    Table::of(classes(header, &columns), keys, scores)
}

fn parquet(file: File) -> Result<Table, String> {
    let reader = parquet_file::reader(file).map_err(|e| e.to_string())?;
    let metadata = reader.metadata();
    let sizes = metadata.row_groups().iter().map(|group| group.total_byte_size().max(0) as u64);
    let (bytes, columns) =
        (sizes.fold(0u64, u64::saturating_add), metadata.file_metadata().schema_descr().num_columns());
    let rows = u64::try_from(metadata.file_metadata().num_rows()).map_err(|_| "a negative number of rows")?;
    if bytes > 2 * MOST_BYTES || rows.saturating_mul(4 * columns as u64) > MOST_BYTES {
        return Err(format!("{rows} rows of {columns} columns, more than {MOST_BYTES} bytes"));
    }
    let schema = metadata.file_metadata().schema().get_fields().iter();
    let header: Vec<String> = schema.map(|field| field.name().to_owned()).collect();
    let columns: Vec<Column> = header.iter().map(|name| column(name)).collect();
    check(&columns)?;
    let (mut keys, mut scores) = (Keys::default(), Vec::new());
    for (number, row) in reader.get_row_iter(None).map_err(|e| e.to_string())?.enumerate() {
        let row = row.map_err(|e| e.to_string())?;
        for ((name, field), column) in row.get_column_iter().zip(&columns) {
            let wrong = |what: &str| format!("row {} of the column {name} is no {what}", number + 1);
            match (column, field) {
                (Column::Hash, Field::Str(text)) => {
                    keys.hashes.push(hash(text).ok_or_else(|| wrong("SHA-256 in hexadecimal digits"))?);
                }
                (Column::Hash, Field::Bytes(bytes)) => {
                    keys.hashes.push(bytes.data().try_into().map_err(|_| wrong("SHA-256 of 32 bytes"))?);
                }
                (Column::Place, field) => {
                    keys.places.push(place(field).ok_or_else(|| wrong("place, from 0"))?);
                }
                (Column::Class, Field::Float(score)) => scores.push(*score),
                (Column::Class, Field::Double(score)) => scores.push(*score as f32),
                (Column::Class, Field::Float16(score)) => scores.push(score.to_f32()),
                (Column::Hash, _) => return Err(wrong("SHA-256")),
                (Column::Class, _) => return Err(wrong("floating-point number")),
            }
        }
    }
    Table::of(classes(header, &columns), keys, scores)
}

fn check(columns: &[Column]) -> Result<(), String> {
    let keys = columns.iter().filter(|column| **column != Column::Class).count();
    if keys > 1 {
        Err("both sha256 and index, or one of them twice; expected one".to_owned())
    } else {
        Ok(())
    }
}

fn classes(header: Vec<String>, columns: &[Column]) -> Vec<String> {
    header
        .into_iter()
        .zip(columns)
        .filter(|(_, column)| **column == Column::Class)
        .map(|(name, _)| name)
        .collect()
}

fn place(field: &Field) -> Option<usize> {
    match field {
        Field::Int(place) => usize::try_from(*place).ok(),
        Field::Long(place) => usize::try_from(*place).ok(),
        Field::UInt(place) => usize::try_from(*place).ok(),
        Field::ULong(place) => usize::try_from(*place).ok(),
        _ => None,
    }
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes().as_chunks::<2>().0;
    if text.len() != 64 || digits.len() != 32 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits) {
        let digit = |digit: u8| (digit as char).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(hash)
}

/// What the numbers are, where nobody says: probabilities if all lie from 0 to 1, as no logits of many images do.
pub(super) fn scale_of(scores: &[f32]) -> Scale {
    if scores.iter().all(|v| (0.0..=1.0 + ABOVE_ONE).contains(v)) {
        Scale::Probabilities
    } else {
        Scale::Logits
    }
}
