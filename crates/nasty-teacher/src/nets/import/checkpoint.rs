//! Lists the tensors in a file of any supported format, and its other contents.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors};

use super::ImportError;
use super::archive::Archive;
use super::facts::Facts;
use super::kinds::{self, Kind};
use super::stored::{Element, Stored, Values};
use super::torch::contents::{Contents, contents_of};
use super::torch::{MOST_OPCODES, legacy, tar, zip};
use crate::nets::NetError;
use crate::nets::weights::read_bounded;
use crate::pickle::parse;

/// Larger files are refused before they are read.
const MAX_BYTES: u64 = 4 << 30;
/// Tensors may share storages, and zip archives may be compressed; float weights compress by a tenth, so tensors
/// that claim more than this times the file's length are no weights.
const MAX_INFLATION: u128 = 8;
/// What every file may claim: tiny ones are mostly headers, or sparse in content.
const FREE_BYTES: u128 = 1 << 20;

/// What `path` holds, its tensors sorted by name.
pub(super) fn open(path: &Path) -> Result<Contents, ImportError> {
    let about = std::fs::metadata(path).map_err(|e| NetError::read(path, e))?;
    if !about.is_file() {
        return Err(unreadable(path, "file of weights", "it is not a regular file"));
    }
    let file = Arc::new(read_bounded(path, MAX_BYTES)?);
    let mut contents = read(path, &file)?;
    if let Some(name) = contents.hostile {
        return Err(ImportError::Foreign { path: path.to_owned(), name });
    }
    let (claimed, length) = (contents.tensors.iter().map(Stored::claimed).sum::<u128>(), about.len());
    if claimed > most_bytes(length) {
        return Err(ImportError::Inflated { path: path.to_owned(), claimed, length });
    }
    contents.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(contents)
}

fn most_bytes(length: u64) -> u128 {
    FREE_BYTES.max(MAX_INFLATION * u128::from(length))
}

fn read(path: &Path, file: &Arc<Vec<u8>>) -> Result<Contents, ImportError> {
    let other = |Kind { what, help }| ImportError::OtherKind { path: path.to_owned(), what, help };
    // A safetensors file is a 64-bit length, then JSON.
    if file.get(8) == Some(&b'{') && file[7] == 0 && !file.starts_with(b"PK") {
        return safetensors(path, file);
    }
    if let Some(kind) = kinds::of_file(path, file) {
        return Err(other(kind));
    }
    if file.starts_with(b"PK\x03\x04") {
        const KIND: &str = "PyTorch checkpoint (zip)";
        let most = u64::try_from(most_bytes(file.len() as u64)).unwrap_or(u64::MAX);
        let (archive, names) = Archive::open(file, most).map_err(|e| unreadable(path, KIND, e))?;
        let contents = zip::read(&Arc::new(archive), &names).ok_or_else(|| other(kinds::of_zip(&names)))?;
        return contents.map_err(|e| unreadable(path, KIND, e));
    }
    if legacy::is_legacy(file) {
        return legacy::read(file).map_err(|e| unreadable(path, "PyTorch checkpoint (legacy)", e));
    }
    if tar::is_tar(file) {
        let (names, contents) =
            tar::read(file).map_err(|e| unreadable(path, "PyTorch checkpoint (tar)", e))?;
        return contents.ok_or_else(|| other(kinds::of_archive("a tar archive", &names)));
    }
    let pickled = parse(file, MOST_OPCODES).map_err(|found| match kinds::of_text(file) {
        Some(kind) => other(kind),
        None if found == "no pickle" => {
            unreadable(path, "file of weights", "it begins as none that is known")
        }
        None => unreadable(path, "file of weights", format!("found {found}")),
    })?;
    let missing = super::stored::Storage::missing();
    let mut contents =
        contents_of(&pickled, &mut |_| missing.clone()).map_err(|e| unreadable(path, "pickle", e))?;
    if contents.kind.is_empty() {
        contents.kind = "pickle";
    }
    Ok(contents)
}

pub(super) fn unreadable(path: &Path, kind: &'static str, problem: impl ToString) -> ImportError {
    ImportError::Unreadable { path: path.to_owned(), kind, problem: problem.to_string() }
}

fn safetensors(path: &Path, bytes: &[u8]) -> Result<Contents, ImportError> {
    const KIND: &str = "safetensors file";
    // The crate checks that every tensor has the bytes of its shape, that they lie in the file and do not overlap.
    let file = SafeTensors::deserialize(bytes).map_err(|e| unreadable(path, KIND, e))?;
    let stored = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| Stored {
        name: name.to_owned(),
        shape: view.shape().to_vec(),
        element: match view.dtype() {
            Dtype::F16 => Some(Element::F16),
            Dtype::BF16 => Some(Element::Bf16),
            Dtype::F32 => Some(Element::F32),
            Dtype::F64 => Some(Element::F64),
            _ => None,
        },
        values: Values::Bytes(Arc::new(view.data().to_vec())),
    };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| unreadable(path, KIND, e))?;
    // Only text fits there; some put JSON into it.
    let texts = metadata.metadata().iter().flatten();
    let json =
        texts.filter_map(|(key, text)| Some((key.clone(), serde_json::from_str(text).ok()?))).collect();
    let facts = Facts::of_json(&serde_json::Value::Object(json), "its metadata");
    Ok(Contents {
        tensors: file.iter().map(stored).collect(),
        kind: KIND,
        entries: Vec::new(),
        names: BTreeSet::new(),
        hostile: None,
        facts,
        archive: None,
    })
}
