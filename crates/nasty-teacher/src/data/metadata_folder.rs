//! Folders of pictures with a table of labels, as Hugging Face's `imagefolder`: `metadata.csv` or `metadata.jsonl`, with a
//! column `file_name` (relative to the table) and one with labels, in each split's folder or above them.

use std::path::{Component, Path, PathBuf};

use super::class_folders::{decode_both, set_apart};
use super::error::DataError;
use super::files::read_bounded;
use super::framing::Framing;
use super::labels::{Label, classes, column};
use super::pictures::{Encoded, Picture};
use super::splits::{Splits, is_training, places};

const NAMES: [&str; 2] = ["metadata.csv", "metadata.jsonl"];
/// The longest table.
const LIMIT: u64 = 1 << 30;
/// The column with the pictures.
const FILE: &str = "file_name";

/// The tables in `folder` and its splits; none if there is none.
pub(super) fn tables(folder: &Path) -> Option<Vec<PathBuf>> {
    let all = places(folder).into_iter().flat_map(|place| NAMES.map(|name| place.join(name)));
    let tables: Vec<PathBuf> = all.filter(|table| table.is_file()).collect();
    (!tables.is_empty()).then_some(tables)
}

/// A row of a table.
struct Row {
    path: PathBuf,
    /// As it is written.
    file: String,
    label: Label,
}

/// Reads the pictures of all tables.
pub(super) fn load(folder: &Path, tables: &[PathBuf], framing: Option<Framing>) -> Result<Splits, DataError> {
    let mut rows = Vec::new();
    for table in tables {
        rows.extend(read(table)?);
    }
    let labels: Vec<Label> = rows.iter().map(|row| row.label.clone()).collect();
    let (names, numbers) = classes(&tables[0].display().to_string(), &labels, None)?;
    let (mut train, mut test, mut unsaid) = (Vec::new(), Vec::new(), Vec::new());
    for (row, class) in rows.into_iter().zip(numbers) {
        // The folders on the way to the picture name its split.
        let inside = row.path.strip_prefix(folder).unwrap_or(&row.path).to_owned();
        let mut folders = inside.parent().into_iter().flat_map(Path::components);
        let split = folders.find_map(|part| is_training(&part.as_os_str().to_string_lossy()));
        let picture = Picture { encoded: Encoded::File(row.path), class };
        match split {
            Some(true) => train.push(picture),
            Some(false) => test.push(picture),
            None => unsaid.push(picture),
        }
    }
    if train.is_empty() && test.is_empty() {
        (train, test) = set_apart(unsaid, folder);
    } else if !unsaid.is_empty() {
        let found = format!("{} elsewhere", unsaid.len());
        let place = tables[0].display().to_string();
        return Err(DataError::malformed(
            place,
            "all pictures in the folder of a split, such as train/ and test/",
            found,
        ));
    } else if test.is_empty() {
        (train, test) = set_apart(train, folder);
    } else if train.is_empty() {
        let place = folder.display().to_string();
        return Err(DataError::malformed(place, "a table for train/", "one for test pictures only"));
    }
    Ok((names, decode_both(&train, &test, framing)?))
}

fn read(table: &Path) -> Result<Vec<Row>, DataError> {
    let place = table.display().to_string();
    let bytes = read_bounded(table, LIMIT)?;
    let is_csv = table.extension().is_some_and(|ending| ending == "csv");
    let rows = if is_csv { csv_rows(&place, &bytes)? } else { json_rows(&place, &bytes)? };
    let beside = table.parent().unwrap_or(Path::new("."));
    let row = |(file, label): (String, Label)| {
        let inside = Path::new(&file)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if file.is_empty() || !inside {
            let expected = format!("a {FILE} inside the table's folder");
            return Err(DataError::malformed(&place, expected, format!("{file:?}")));
        }
        let path = beside.join(&file);
        if !path.is_file() {
            let expected = format!("a picture for every {FILE}");
            return Err(DataError::malformed(&place, expected, format!("none at {}", path.display())));
        }
        Ok(Row { path, file, label })
    };
    let mut rows = rows.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
    rows.sort_by(|a, b| a.file.cmp(&b.file));
    if rows.is_empty() {
        return Err(DataError::malformed(&place, "a row for each picture", "none"));
    }
    Ok(rows)
}

/// That a table does not have the columns that it should.
fn columns_missing(place: &str, found: &[&str]) -> DataError {
    DataError::Malformed {
        path: place.to_owned(),
        expected: format!("a column {FILE} and one with labels, called `label`"),
        found: format!("the columns {}", found.join(", ")),
        help: "name the column with the classes `label`".into(),
    }
}

fn csv_rows(place: &str, bytes: &[u8]) -> Result<Vec<(String, Label)>, DataError> {
    // Spreadsheets begin a file with a mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let broken = |error: csv::Error| {
        DataError::malformed(place, "a table of comma-separated values", error.to_string())
    };
    let header = reader.headers().map_err(broken)?.clone();
    let names: Vec<&str> = header.iter().collect();
    let at = |wanted: Option<&str>| names.iter().position(|name| Some(*name) == wanted);
    let (Some(file), Some(label)) = (at(Some(FILE)), at(column(&names, &[FILE]))) else {
        return Err(columns_missing(place, &names));
    };
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(broken)?;
        Ok((record[file].to_owned(), Label::of_text(&record[label])))
    };
    reader.records().map(row).collect()
}

fn json_rows(place: &str, bytes: &[u8]) -> Result<Vec<(String, Label)>, DataError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| DataError::malformed(place, "lines of JSON", "other bytes"))?;
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |found: String| {
            DataError::malformed(
                place,
                "an object of JSON in each line",
                format!("{found} in line {}", number + 1),
            )
        };
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let names: Vec<&str> = object.keys().map(String::as_str).collect();
        let file = object.get(FILE).and_then(|file| file.as_str());
        let (Some(file), Some(label)) = (file, column(&names, &[FILE])) else {
            return Err(columns_missing(place, &names));
        };
        let label = match &object[label] {
            serde_json::Value::String(name) => Label::Name(name.clone()),
            serde_json::Value::Number(number) if number.is_i64() => {
                Label::Number(number.as_i64().expect("tested just before"))
            }
            other => return Err(wrong(format!("the label {other}"))),
        };
        rows.push((file.to_owned(), label));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::super::folder;
    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new(pictures: &[&str]) -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            for (i, name) in pictures.iter().enumerate() {
                let path = place.0.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                image::GrayImage::from_pixel(6, 6, image::Luma([10 * i as u8])).save(path).unwrap();
            }
            place
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.path().join(name), text).unwrap();
        }

        fn load(&self) -> Result<Splits, String> {
            folder::load(self.0.path(), None).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn tables_in_the_splits_or_above_them() {
        let place = Place::new(&["train/1.png", "train/2.png", "test/3.png", "test/4.png"]);
        place.write("train/metadata.csv", "\u{feff}file_name,note,label\n2.png,\"a, b\",dog\n1.png,,cat\n");
        place.write(
            "test/metadata.jsonl",
            "{\"file_name\": \"3.png\", \"label\": \"dog\"}\n\n{\"file_name\":\"4.png\",\"label\":\"cat\"}\n",
        );
        let (classes, (train, test)) = place.load().unwrap();
        assert_eq!(classes, ["cat", "dog"]);
        assert_eq!((train.labels.clone(), test.labels.clone()), (vec![0, 1], vec![1, 0]));
        assert_eq!([train.image(0)[0], train.image(1)[0], test.image(0)[0]], [0, 10, 20]);

        for name in ["train/metadata.csv", "test/metadata.jsonl"] {
            std::fs::remove_file(place.0.path().join(name)).unwrap();
        }
        place.write(
            "metadata.csv",
            "file_name,species\ntrain/1.png,3\ntrain/2.png,10\ntest/3.png,10\ntest/4.png,3\n",
        );
        let (classes, (train, test)) = place.load().unwrap();
        assert_eq!(classes, ["3", "10"]);
        assert_eq!((train.labels, test.labels), (vec![0, 1], vec![1, 0]));
    }

    #[test]
    fn without_splits_one_is_made_and_bad_tables_are_explained() {
        let names: Vec<String> = (0..10).map(|i| format!("{i}.png")).collect();
        let place = Place::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let table = |label: &dyn Fn(usize) -> String| {
            (0..10).fold("file_name,label\n".to_owned(), |text, i| text + &format!("{i}.png,{}\n", label(i)))
        };
        place.write("metadata.csv", &table(&|i| if i < 5 { "a".into() } else { "b".into() }));
        let (_, (train, test)) = place.load().unwrap();
        assert_eq!((train.class_counts(2), test.class_counts(2)), (vec![4, 4], vec![1, 1]));
        for (text, part) in [
            ("file_name,x,y2\n0.png,1,2\n", "a column file_name and one with labels"),
            ("file,label\n0.png,1\n", "found the columns file, label"),
            ("file_name,label\n../0.png,1\n", "inside the table's folder"),
            ("file_name,label\n/etc/passwd,1\n", "inside the table's folder"),
            ("file_name,label\n11.png,1\n", "none at"),
            ("file_name,label\n0.png,1\n1.png,1\n", "two or more classes"),
            ("file_name,label\n0.png\n", "comma-separated"),
            ("file_name,label\n", "a row for each picture, found none"),
        ] {
            place.write("metadata.csv", text);
            let error = place.load().unwrap_err();
            assert!(error.contains("metadata.csv") && error.contains(part), "{error} without {part}");
        }
        std::fs::remove_file(place.0.path().join("metadata.csv")).unwrap();
        place.write("metadata.jsonl", "{\"file_name\": \"0.png\", \"label\": [1]}\n");
        assert!(place.load().unwrap_err().contains("the label [1] in line 1"));
        place.write("metadata.jsonl", "no json\n");
        assert!(place.load().unwrap_err().contains("an object of JSON in each line"));
    }
}
