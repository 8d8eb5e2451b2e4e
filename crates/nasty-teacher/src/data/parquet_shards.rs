//! Parquet shards of pictures with labels, as Hugging Face stores data sets: `data/train-00000-of-00001.parquet`, with a
//! column `image` (a struct of `bytes` and `path`, or bytes) and a column `label`.

use std::fmt::Display;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::FileReader;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;

use super::budget;
use super::class_folders::{decode_both, set_apart};
use super::error::DataError;
use super::framing::Framing;
use super::labels::{Label, classes, column};
use super::pictures::{Encoded, Picture};
use super::splits::{Splits, files_named, is_training, places};
use crate::panics::caught;
use crate::parquet_file;

/// The usual names of the column with the pictures.
const IMAGES: [&str; 4] = ["image", "img", "picture", "jpg"];

/// The shards in `folder`, its `data/` and its splits, ascending.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    for place in places(folder) {
        found.extend(files_named(&place, |name| name.ends_with(".parquet"))?);
    }
    Ok(found)
}

/// What is in a shard.
struct Shard {
    pictures: Vec<Encoded>,
    labels: Vec<Label>,
    /// Names of the classes by number, where the file has them.
    names: Option<Vec<String>>,
}

/// Reads all shards; their names, or those of their folders, say of which split they are.
pub(super) fn load(folder: &Path, files: &[PathBuf], framing: Option<Framing>) -> Result<Splits, DataError> {
    let mut training: Vec<Option<bool>> = Vec::new();
    let mut all = Shard { pictures: Vec::new(), labels: Vec::new(), names: None };
    let mut bytes = 0u128;
    for file in files {
        // The reader asserts what a damaged file does not keep.
        let shard = caught(|| read(file)).unwrap_or_else(|panic| Err(damaged(file, panic)))?;
        let inside = file.strip_prefix(folder).unwrap_or(file);
        training.extend(vec![is_training(&inside.to_string_lossy()); shard.pictures.len()]);
        bytes += file.metadata().map_err(DataError::io(file))?.len() as u128;
        budget::check(training.len(), bytes)?;
        all.pictures.extend(shard.pictures);
        all.labels.extend(shard.labels);
        all.names = all.names.or(shard.names);
    }
    let (names, numbers) = classes(&files[0].display().to_string(), &all.labels, all.names)?;
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for ((encoded, class), training) in all.pictures.into_iter().zip(numbers).zip(training) {
        let split = if training == Some(false) { &mut test } else { &mut train };
        split.push(Picture { encoded, class });
    }
    if train.is_empty() {
        let place = folder.display().to_string();
        return Err(DataError::malformed(
            place,
            "shards with training pictures (train-….parquet)",
            "only test ones",
        ));
    }
    if test.is_empty() {
        (train, test) = set_apart(train, folder);
    }
    Ok((names, decode_both(&train, &test, framing)?))
}

fn damaged(path: &Path, why: impl Display) -> DataError {
    DataError::malformed(
        path.display().to_string(),
        "an intact Parquet file",
        format!("a broken one ({why})"),
    )
}

fn read(path: &Path) -> Result<Shard, DataError> {
    let place = path.display().to_string();
    let broken = |error: ParquetError| damaged(path, error);
    let file = File::open(path).map_err(DataError::io(path))?;
    let reader = parquet_file::reader(file).map_err(broken)?;
    let schema = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
    let columns: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
    let image = IMAGES.iter().find_map(|usual| columns.iter().find(|name| name.eq_ignore_ascii_case(usual)));
    let (Some(image), Some(label)) = (image.copied(), column(&columns, &IMAGES)) else {
        return Err(DataError::Malformed {
            path: place,
            expected: "a column `image` and a column `label`".into(),
            found: format!("the columns {}", columns.join(", ")),
            help: "name the columns with pictures and classes `image` and `label`".into(),
        });
    };
    let names = names(&reader, label);
    let fields = schema.get_fields().iter().filter(|field| [image, label].contains(&field.name()));
    let wanted = Type::group_type_builder(schema.name()).with_fields(fields.map(Arc::clone).collect());
    let wanted = wanted.build().map_err(broken)?;
    let mut shard = Shard { pictures: Vec::new(), labels: Vec::new(), names };
    for (number, row) in reader.get_row_iter(Some(wanted)).map_err(broken)?.enumerate() {
        let row = row.map_err(broken)?;
        let name = format!("{place}: row {number}");
        let bytes = field(&row, image).and_then(picture).ok_or_else(|| {
            DataError::malformed(
                &name,
                format!("the bytes of a picture in `{image}`"),
                "none (only a path, or nothing)",
            )
        })?;
        let label = field(&row, label).and_then(label_of).ok_or_else(|| {
            DataError::malformed(&name, format!("a number or a name in `{label}`"), "something else")
        })?;
        shard.pictures.push(Encoded::Bytes { name, bytes });
        shard.labels.push(label);
    }
    Ok(shard)
}

fn field<'a>(row: &'a Row, name: &str) -> Option<&'a Field> {
    row.get_column_iter().find(|(column, _)| column.as_str() == name).map(|(_, field)| field)
}

/// The bytes of a picture file.
fn picture(field: &Field) -> Option<Vec<u8>> {
    match field {
        Field::Bytes(bytes) => Some(bytes.data().to_vec()),
        Field::Group(row) => match self::field(row, "bytes")? {
            Field::Bytes(bytes) => Some(bytes.data().to_vec()),
            _ => None,
        },
        _ => None,
    }
}

fn label_of(field: &Field) -> Option<Label> {
    Some(match field {
        Field::Bool(value) => Label::Number(i64::from(*value)),
        Field::Byte(value) => Label::Number(i64::from(*value)),
        Field::Short(value) => Label::Number(i64::from(*value)),
        Field::Int(value) => Label::Number(i64::from(*value)),
        Field::Long(value) => Label::Number(*value),
        Field::UByte(value) => Label::Number(i64::from(*value)),
        Field::UShort(value) => Label::Number(i64::from(*value)),
        Field::UInt(value) => Label::Number(i64::from(*value)),
        Field::ULong(value) => Label::Number(i64::try_from(*value).ok()?),
        Field::Str(name) => Label::Name(name.clone()),
        _ => return None,
    })
}

/// The class names that Hugging Face's `datasets` writes into the file: `info.features.LABEL.names`.
fn names(reader: &impl FileReader, label: &str) -> Option<Vec<String>> {
    let pairs = reader.metadata().file_metadata().key_value_metadata()?;
    let text = pairs.iter().find(|pair| pair.key == "huggingface")?.value.as_ref()?;
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    serde_json::from_value(json.pointer(&format!("/info/features/{label}/names"))?.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::folder;
    use super::*;

    /// Written by `tools/golden_pictures.py --parquet` with Hugging Face's datasets: a split's shard with six pictures of
    /// 8×8, whose first pixel is 20 times their number, labels 0, 1, 2, 0, 1, 2 of the classes ant, bee, cat.
    const SHARD: &[u8] = include_bytes!("../../tests/golden-pictures/train-00000-of-00001.parquet");

    fn load(files: &[(&str, &[u8])]) -> Result<Splits, String> {
        let place = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        folder::load(place.path(), None).map_err(|error| error.to_string())
    }

    #[test]
    fn shards_of_hugging_face_are_read() {
        for (train, test) in [
            ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
            ("train/0000.parquet", "validation/0000.parquet"),
            ("train.parquet", "valid.parquet"),
        ] {
            let (classes, (train, test)) = load(&[(train, SHARD), (test, SHARD)]).unwrap();
            assert_eq!(classes, ["ant", "bee", "cat"]);
            assert_eq!((train.labels.clone(), train.height), (vec![0, 1, 2, 0, 1, 2], 8));
            assert_eq!(train.images().map(|image| image[0]).collect::<Vec<_>>(), [0, 20, 40, 60, 80, 100]);
            assert_eq!(test, train);
        }
        let (_, (train, test)) = load(&[("a.parquet", SHARD), ("b.parquet", SHARD)]).unwrap();
        assert_eq!((train.len(), test.len()), (9, 3), "a split is made");
    }

    #[test]
    fn bad_shards_are_explained() {
        let says = |bytes: &[u8], part: &str| {
            let error = load(&[("train.parquet", bytes)]).unwrap_err();
            assert!(error.contains("train.parquet") && error.contains(part), "{error}");
        };
        says(b"no parquet", "an intact Parquet file");
        says(&SHARD[..SHARD.len() - 20], "an intact Parquet file");
        let error = load(&[("test.parquet", SHARD)]).unwrap_err();
        assert!(error.contains("shards with training pictures"), "{error}");
        // A changed byte of a picture.
        let at = SHARD.windows(4).position(|four| four == b"IHDR").unwrap();
        let mut broken = SHARD.to_vec();
        broken[at + 6] ^= 0xff;
        says(&broken, "row 0: expected an intact picture");
        // Found by fuzzing: a page's header has a list of more elements than the file has bytes.
        says(include_bytes!("../../tests/golden-pictures/endless.parquet"), "an intact Parquet file");
        // The sign of a number in the footer, of which the reader asserts some.
        let footer =
            SHARD.len() - 8 - u32::from_le_bytes(*SHARD[..SHARD.len() - 4].last_chunk().unwrap()) as usize;
        let changed = (footer..SHARD.len()).filter_map(|at| {
            let mut broken = SHARD.to_vec();
            broken[at] ^= 1;
            load(&[("train.parquet", &broken)]).err()
        });
        let asserted = changed.filter(|error| error.contains("column start and length")).count();
        assert!(asserted > 0, "no changed byte made the reader panic");
    }
}
