//! Numeric arrays out of MATLAB files of version 5 (`.mat`), as `scipy.io.savemat` and MATLAB write them.
//!
//! "MAT-File Format", MathWorks: a header of 128 bytes, then elements of type, length and data; an element may be a
//! zlib stream that holds another one.

use std::path::Path;

use flate2::read::ZlibDecoder;

use super::error::DataError;
use super::files::{read_bounded, read_up_to};

const HEADER: usize = 128;
const COMPRESSED: u32 = 15;
const MATRIX: u32 = 14;

/// An array, its elements in MATLAB's order: the first index runs fastest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub(super) name: String,
    pub(super) sizes: Vec<usize>,
    /// As bytes; other numbers must be whole and fit.
    pub(super) values: Vec<u8>,
}

/// The arrays of the file whose names `wanted` lists, of at most `limit` bytes each; others are passed over.
pub(super) fn arrays(path: &Path, wanted: &[&str], limit: u64) -> Result<Vec<Array>, DataError> {
    let label = path.display().to_string();
    let bytes = read_bounded(path, limit)?;
    let wrong = |found: String| DataError::malformed(&label, "a MATLAB file of version 5", found);
    if bytes.starts_with(b"MATLAB 7.3") || bytes.starts_with(b"\x89HDF") {
        return Err(wrong("version 7.3, an HDF5 file (save it with -v7)".into()));
    }
    if bytes.len() < HEADER || &bytes[126..128] != b"IM" {
        return Err(wrong("something else".into()));
    }
    let mut found = Vec::new();
    let mut rest = &bytes[HEADER..];
    while !rest.is_empty() {
        let (kind, body) = element(&mut rest).ok_or_else(|| wrong("one cut short".into()))?;
        let inflated;
        let (kind, body) = if kind == COMPRESSED {
            inflated = read_up_to(&label, ZlibDecoder::new(body), limit)?;
            element(&mut &inflated[..]).ok_or_else(|| wrong("one cut short".into()))?
        } else {
            (kind, body)
        };
        if kind != MATRIX {
            continue;
        }
        match matrix(body, wanted) {
            Ok(Some(array)) => found.push(array),
            Ok(None) => {}
            Err(what) => return Err(wrong(what)),
        }
    }
    match wanted.iter().find(|name| found.iter().all(|array| array.name != **name)) {
        Some(name) => Err(DataError::malformed(&label, format!("the array {name}"), "no such array in it")),
        None => Ok(found),
    }
}

/// Type and data of the first element of `bytes`, which then begin behind it.
fn element<'a>(bytes: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let word = |bytes: &[u8], at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let first = word(bytes, 0)?;
    // A small element has its length in the upper half of the first word, and four bytes of data.
    if first >> 16 != 0 {
        let data = bytes.get(4..4 + (first >> 16) as usize).filter(|data| data.len() <= 4)?;
        *bytes = bytes.get(8..)?;
        return Some((first & 0xffff, data));
    }
    let length = word(bytes, 4)? as usize;
    let data = bytes.get(8..8usize.checked_add(length)?)?;
    let padded = if first == COMPRESSED { length } else { length.checked_next_multiple_of(8)? };
    *bytes = bytes.get(8 + padded..).unwrap_or_default();
    Some((first, data))
}

/// The array in the body of a matrix; none if it is not wanted.
fn matrix(mut body: &[u8], wanted: &[&str]) -> Result<Option<Array>, String> {
    let mut next = || element(&mut body).ok_or_else(|| "one cut short".to_owned());
    let (_, flags) = next()?;
    let (_, sizes) = next()?;
    let (_, name) = next()?;
    let name = String::from_utf8_lossy(name).into_owned();
    if !wanted.contains(&name.as_str()) {
        return Ok(None);
    }
    // Classes 6 to 15 are numbers; bit 11 marks complex ones.
    if !flags.first().is_some_and(|class| (6..=15).contains(class))
        || flags.get(1).is_some_and(|f| f & 8 != 0)
    {
        return Err(format!("{name} that is no array of real numbers"));
    }
    let sizes: Vec<usize> =
        sizes.as_chunks().0.iter().map(|size| i32::from_le_bytes(*size).max(0) as usize).collect();
    let (kind, data) = next()?;
    let values = bytes_of(kind, data).ok_or_else(|| format!("{name} with other numbers than 0 to 255"))?;
    let count = sizes.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    if count != Some(values.len()) {
        return Err(format!("{name} of {sizes:?} with {} numbers", values.len()));
    }
    Ok(Some(Array { name, sizes, values }))
}

/// Numbers of a type as bytes, if they are such.
fn bytes_of(kind: u32, data: &[u8]) -> Option<Vec<u8>> {
    fn each<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> Option<u8>) -> Option<Vec<u8>> {
        let (chunks, rest) = data.as_chunks();
        rest.is_empty().then(|| chunks.iter().map(|chunk| number(*chunk)).collect())?
    }
    let whole =
        |number: f64| ((0.0..=255.0).contains(&number) && number.fract() == 0.0).then_some(number as u8);
    match kind {
        2 => Some(data.to_vec()),
        1 => each(data, |[b]| u8::try_from(b as i8).ok()),
        3 => each(data, |b| u8::try_from(i16::from_le_bytes(b)).ok()),
        4 => each(data, |b| u8::try_from(u16::from_le_bytes(b)).ok()),
        5 => each(data, |b| u8::try_from(i32::from_le_bytes(b)).ok()),
        6 => each(data, |b| u8::try_from(u32::from_le_bytes(b)).ok()),
        7 => each(data, |b| whole(f64::from(f32::from_le_bytes(b)))),
        9 => each(data, |b| whole(f64::from_le_bytes(b))),
        12 => each(data, |b| u8::try_from(i64::from_le_bytes(b)).ok()),
        13 => each(data, |b| u8::try_from(u64::from_le_bytes(b)).ok()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], wanted: &[&str]) -> Result<Vec<Array>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.mat");
        std::fs::write(&path, bytes).unwrap();
        arrays(&path, wanted, 1 << 20).map_err(|error| error.to_string())
    }

    /// Written by scipy 1.17: `savemat(f, {"X": uint8 [2, 3], "y": [[1.0], [10.0]], "z": "text"}, do_compression=…)`.
    const PLAIN: &[u8] = include_bytes!("matlab/plain.mat");
    const COMPRESSED: &[u8] = include_bytes!("matlab/compressed.mat");

    #[test]
    fn files_of_scipy_are_read_compressed_or_not() {
        for file in [PLAIN, COMPRESSED] {
            let arrays = read(file, &["X", "y"]).unwrap();
            let expected = [
                // [[0, 1, 2], [3, 4, 5]], by columns.
                Array { name: "X".into(), sizes: vec![2, 3], values: vec![0, 3, 1, 4, 2, 5] },
                Array { name: "y".into(), sizes: vec![2, 1], values: vec![1, 10] },
            ];
            assert_eq!(arrays, expected);
            assert!(read(file, &["w"]).unwrap_err().contains("expected the array w"));
            assert!(read(file, &["z"]).unwrap_err().contains("z that is no array of real numbers"));
        }
    }

    #[test]
    fn bad_files_are_explained() {
        assert!(
            read(b"<html>", &["X"]).unwrap_err().contains("a MATLAB file of version 5, found something else")
        );
        assert!(read(b"MATLAB 7.3 MAT-file", &["X"]).unwrap_err().contains("version 7.3"));
        for end in [HEADER + 3, HEADER + 20, PLAIN.len() - 60] {
            assert!(read(&PLAIN[..end], &["X", "z"]).is_err(), "{end}");
        }
        assert!(read(&COMPRESSED[..COMPRESSED.len() - 9], &["X", "y", "z"]).is_err());
        for at in 0..PLAIN.len() {
            let mut broken = PLAIN.to_vec();
            broken[at] ^= 0xff;
            // Whatever it is then, it is no panic.
            let _ = read(&broken, &["X", "y"]);
        }
    }
}
