//! Writes answers as a file that [`Recorded::open`](super::Recorded::open) reads.

use super::rows::content_hash;
use crate::data::{ImageSet, npz};
use crate::files::write_whole;
use crate::victim::{Answers, Scale, VictimError};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use std::error::Error;
use std::io::{Cursor, Write};
use std::iter::once;
use std::path::Path;
use std::sync::Arc;

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// A table: `sha256` and one column a class.
    Csv,
    /// numpy's arrays: `sha256`, `logits` or `probabilities`, and `classes`.
    Npz,
    /// A table, as for CSV.
    Parquet,
}

impl Recording {
    /// What the ending of `path` asks for: `.csv`, `.npz` or `.parquet`; `None` for another one.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "npz" => Some(Self::Npz),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// Writes `answers` to unchanged `images` to the file at `path`, by the images' SHA-256; the classes are called as `names` say.
///
/// # Errors
/// [`VictimError::Keeping`] if the file cannot be written; then there is none.
pub fn record(
    path: &Path,
    how: Recording,
    images: &ImageSet,
    names: &[String],
    answers: &Answers,
) -> Result<(), VictimError> {
    let write = || -> Result<(), Box<dyn Error>> {
        let hashes: Vec<[u8; 32]> = images.images().map(content_hash).collect();
        let bytes = match how {
            Recording::Csv => csv(&hashes, names, answers)?,
            Recording::Npz => arrays(&hashes, names, answers)?,
            Recording::Parquet => parquet(&hashes, names, answers)?,
        };
        Ok(write_whole(path, &bytes)?)
    };
    write().map_err(|e| VictimError::Keeping { victim: path.display().to_string(), problem: e.to_string() })
}

fn hexadecimal(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn csv(hashes: &[[u8; 32]], names: &[String], answers: &Answers) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(once("sha256").chain(names.iter().map(String::as_str)))?;
    for (hash, row) in hashes.iter().zip(answers.rows.chunks_exact(answers.classes)) {
        table.write_record(once(hexadecimal(hash)).chain(row.iter().map(ToString::to_string)))?;
    }
    Ok(table.into_inner()?)
}

fn arrays(hashes: &[[u8; 32]], names: &[String], answers: &Answers) -> Result<Vec<u8>, Box<dyn Error>> {
    let scores: Vec<u8> = answers.rows.iter().flat_map(|score| score.to_le_bytes()).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(1);
    let points = |name: &String| {
        let mut points: Vec<u32> = name.chars().map(u32::from).collect();
        points.resize(longest, 0);
        points
    };
    let texts: Vec<u8> = names.iter().flat_map(points).flat_map(u32::to_le_bytes).collect();
    let what = match answers.scale {
        Scale::Logits => "logits",
        Scale::Probabilities => "probabilities",
    };
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, array) in [
        ("sha256", npz::npy("|u1", &[hashes.len(), 32], hashes.as_flattened())),
        (what, npz::npy("<f4", &[hashes.len(), answers.classes], &scores)),
        ("classes", npz::npy(&format!("<U{longest}"), &[names.len()], &texts)),
    ] {
        // Without the date, so that equal answers give equal files.
        archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default())?;
        archive.write_all(&array)?;
    }
    Ok(archive.finish()?.into_inner())
}

fn parquet(hashes: &[[u8; 32]], names: &[String], answers: &Answers) -> Result<Vec<u8>, ParquetError> {
    let column = |name: &str, physical, logical| {
        let column = Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED);
        column.with_logical_type(logical).build().map(Arc::new)
    };
    let mut columns = vec![column("sha256", Physical::BYTE_ARRAY, Some(LogicalType::String))?];
    for name in names {
        columns.push(column(name, Physical::FLOAT, None)?);
    }
    let schema = Arc::new(Type::group_type_builder("answers").with_fields(columns).build()?);
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties)?;
    let mut group = writer.next_row_group()?;
    let mut classes = 0..;
    while let Some(mut column) = group.next_column()? {
        match column.untyped() {
            ColumnWriter::FloatColumnWriter(column) => {
                let class = classes.next().expect("without end");
                let scores: Vec<f32> =
                    answers.rows.iter().skip(class).step_by(answers.classes).copied().collect();
                column.write_batch(&scores, None, None)?
            }
            ColumnWriter::ByteArrayColumnWriter(column) => {
                let hashes: Vec<ByteArray> =
                    hashes.iter().map(|hash| hexadecimal(hash).into_bytes().into()).collect();
                column.write_batch(&hashes, None, None)?
            }
            _ => unreachable!("the schema has columns of texts and of floats"),
        };
        column.close()?;
    }
    group.close()?;
    writer.into_inner()
}
