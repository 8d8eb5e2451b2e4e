//! Reads files from a `.tar.gz` without unpacking it.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::error::DataError;
use super::files::{damaged, read_up_to};

/// The members `names` of the archive, in that order, each of at most `limit` bytes.
pub(super) fn members(archive: &Path, names: &[String], limit: u64) -> Result<Vec<Vec<u8>>, DataError> {
    let label = archive.display().to_string();
    let file = BufReader::with_capacity(1 << 16, File::open(archive).map_err(DataError::io(archive))?);
    // A hostile archive may inflate without end: twice what is wanted is more than any real one holds besides.
    let bound = 2 * names.len() as u64 * (limit + (1 << 20));
    let mut tar = tar::Archive::new(MultiGzDecoder::new(file).take(bound));
    let mut found: Vec<Option<Vec<u8>>> = vec![None; names.len()];
    for entry in tar.entries().map_err(|error| damaged(&label, error))? {
        let entry = entry.map_err(|error| damaged(&label, error))?;
        let path = entry.path_bytes().into_owned();
        let path = path.strip_prefix(b"./").unwrap_or(&path);
        let wanted = names.iter().position(|name| name.as_bytes() == path);
        let Some(i) = wanted.filter(|_| entry.header().entry_type().is_file()) else { continue };
        found[i] = Some(read_up_to(&format!("{label}: {}", names[i]), entry, limit)?);
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    let missing =
        |i: usize| DataError::malformed(&label, format!("the file {}", names[i]), "no such file in it");
    found.into_iter().enumerate().map(|(i, bytes)| bytes.ok_or_else(|| missing(i))).collect()
}
