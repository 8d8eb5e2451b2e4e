//! numpy's archives of arrays (`.npz`): a zip file of `.npy` files.

use std::io::{Cursor, Read};
use std::path::Path;

use super::files::read_bounded;
use crate::pickle::numpy::Array;

/// The longest archive that is read.
const MOST_BYTES: u64 = 1 << 30;
/// The most bytes of one array.
const MOST_ARRAY_BYTES: u64 = 2 << 30;

/// The arrays called `wanted` in the archive `path`; `None` for those that are not there.
///
/// # Errors
/// What is wrong with the archive.
pub(crate) fn arrays<const N: usize>(
    path: &Path,
    wanted: [&str; N],
) -> Result<[Option<Array<'static>>; N], String> {
    let bytes = read_bounded(path, MOST_BYTES).map_err(|e| e.to_string())?;
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| format!("no zip archive: {e}"))?;
    let mut found = [const { None }; N];
    for (place, name) in found.iter_mut().zip(wanted) {
        let Some(index) = archive.index_for_name(&format!("{name}.npy")) else { continue };
        let entry = archive.by_index(index).map_err(|e| e.to_string())?;
        let (mut bytes, size) = (Vec::new(), entry.size());
        if size > MOST_ARRAY_BYTES {
            return Err(format!("`{name}` has {size} bytes, at most {MOST_ARRAY_BYTES} are read"));
        }
        entry.take(MOST_ARRAY_BYTES).read_to_end(&mut bytes).map_err(|e| format!("`{name}`: {e}"))?;
        *place = Some(array(&bytes).map_err(|e| format!("`{name}`: found {e}"))?);
    }
    Ok(found)
}

/// The array of a `.npy` file.
pub(crate) fn array(file: &[u8]) -> Result<Array<'static>, String> {
    let Header { descr, fortran, shape, data } = Header::of(file)?;
    Array::new(descr, fortran, shape, data.to_vec())
}

/// The texts of a `.npy` file that holds one row of them (numpy's type `U`: code points of four bytes, filled up with zeros).
pub(crate) fn texts(file: &[u8]) -> Result<Vec<String>, String> {
    let Header { descr, shape, data, .. } = Header::of(file)?;
    let other = || format!("elements of the type {descr}, expected text");
    let (order, length) = descr.split_once('U').ok_or_else(other)?;
    let length: usize = length.parse().map_err(|_| other())?;
    let [count] = shape[..] else { return Err(format!("an array of shape {shape:?}, expected one row")) };
    let size = length.checked_mul(4).and_then(|size| size.checked_mul(count));
    if size != Some(data.len()) || length == 0 {
        return Err(format!("{} bytes for {count} texts of {length} characters", data.len()));
    }
    let from = if order == ">" { u32::from_be_bytes } else { u32::from_le_bytes };
    let text = |bytes: &[u8]| {
        let points = bytes.as_chunks().0.iter().map(|&point| from(point));
        let text: Option<String> = points.map(char::from_u32).collect();
        text.map(|text| text.trim_end_matches('\0').to_owned()).ok_or("a text that is no Unicode".to_owned())
    };
    data.chunks_exact(4 * length).map(text).collect()
}

/// What a `.npy` file says of its array, and the array's bytes.
struct Header<'a> {
    descr: &'a str,
    fortran: bool,
    shape: Vec<usize>,
    data: &'a [u8],
}

impl<'a> Header<'a> {
    fn of(file: &'a [u8]) -> Result<Self, String> {
        let cut = || "a file that is cut off".to_owned();
        let rest = file.strip_prefix(b"\x93NUMPY").ok_or("no array of numpy")?;
        let (length, from) = match rest {
            [1, _, a, b, ..] => (usize::from(u16::from_le_bytes([*a, *b])), 4),
            [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 6),
            _ => return Err(cut()),
        };
        let end = from + length;
        let header = rest.get(from..end).ok_or_else(cut)?;
        let header = std::str::from_utf8(header).map_err(|_| "a header that is no text")?;
        let after = |key: &str| header.split_once(key).map(|(_, rest)| rest.trim_start());
        let descr = after("'descr':").and_then(|rest| rest.strip_prefix('\'')?.split('\'').next());
        let fortran = after("'fortran_order':").map(|rest| rest.starts_with("True"));
        let shape = after("'shape':").and_then(|rest| rest.strip_prefix('(')?.split(')').next());
        let (Some(descr), Some(fortran), Some(shape)) = (descr, fortran, shape) else {
            return Err("a header without type, order and shape".into());
        };
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        let sizes = sizes.map(|size| size.parse().map_err(|_| "a shape that is no numbers"));
        Ok(Self { descr, fortran, shape: sizes.collect::<Result<_, _>>()?, data: &rest[end..] })
    }
}

/// A `.npy` file of elements that numpy calls `descr`, of `shape` in C order, from their bytes.
pub(crate) fn npy(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    // The array starts at a multiple of 64 bytes, after a line feed; 10 bytes stand before the header.
    header += &" ".repeat(63 - (10 + header.len()) % 64);
    header.push('\n');
    let length = u16::try_from(header.len()).expect("a short header").to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A file as numpy writes it.
    fn npy(descr: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn arrays_are_read_by_name() {
        let path = tempfile::tempdir().expect("temp").keep().join("x.npz");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).expect("writable"));
        for (name, file) in [
            ("images", npy("|u1", "True", "(2, 3)", &[1, 4, 2, 5, 3, 6])),
            (
                "labels",
                npy(
                    "<i8",
                    "False",
                    "(2,)",
                    &[7u8, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
                ),
            ),
        ] {
            zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).expect("new");
            zip.write_all(&file).expect("in the file");
        }
        zip.finish().expect("written");
        let [images, labels, none] = arrays(&path, ["images", "labels", "logits"]).expect("arrays");
        assert_eq!(images.expect("there").unsigned_bytes(), Some(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(labels.expect("there").integers(), Some(vec![7, -1]));
        assert!(none.is_none());
    }

    #[test]
    fn what_is_written_is_read() {
        let file = super::npy("|u1", &[2, 3], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(file.len(), 128 + 6);
        assert_eq!(array(&file).expect("an array").unsigned_bytes(), Some(vec![1, 2, 3, 4, 5, 6]));
        let points: Vec<u8> = "cat\0caf\u{e9}".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        assert_eq!(
            texts(&super::npy("<U4", &[2], &points)),
            Ok(vec!["cat".to_owned(), "caf\u{e9}".to_owned()])
        );
        assert!(texts(&file).is_err_and(|e| e.contains("the type |u1")));
        assert!(texts(&super::npy("<U4", &[3], &points)).is_err_and(|e| e.contains("32 bytes for 3 texts")));
    }

    #[test]
    fn bad_arrays_are_explained() {
        for (file, found) in [
            (b"".to_vec(), "no array"),
            (b"\x93NUMPY\x01\x00\xff".to_vec(), "cut off"),
            (b"\x93NUMPY\x01\x00\xff\xff{".to_vec(), "cut off"),
            (npy("|O", "False", "(1,)", &[0]), "the type |O"),
            (npy("|u1", "False", "(3,)", &[0]), "1 bytes for an array of shape [3]"),
            (npy("<f8", "False", "(99999999999, 99999999999)", &[]), "0 bytes"),
        ] {
            let error = array(&file).expect_err("bad");
            assert!(error.contains(found), "{error} without {found}");
        }
    }

    proptest::proptest! {
        #[test]
        fn changed_files_never_panic(at in 0usize..136, byte: u8, shape in "[(0-9), ]{0,12}") {
            let mut file = npy("<f4", "False", &shape, &[0; 8]);
            let length = file.len();
            file[at.min(length - 1)] = byte;
            if let Ok(array) = array(&file) {
                proptest::prop_assert!(array.is_float() != array.integers().is_some());
            }
            for length in 0..file.len().min(20) {
                proptest::prop_assert!(super::array(&file[..length]).is_err());
            }
        }
    }
}
