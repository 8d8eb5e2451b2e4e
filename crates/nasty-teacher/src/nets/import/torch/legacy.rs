//! The format of PyTorch 0.1.10 to 1.5: consecutive pickles, then the storages.

use std::collections::HashMap;
use std::sync::Arc;

use super::MOST_OPCODES;
use super::contents::{Contents, contents_of};
use super::tensors::storage_id;
use crate::nets::import::stored::Storage;
use crate::pickle::{Object, Pickled, Value, parse};

/// The number that the first pickle is, in binary and in digits.
const MAGIC: [&[u8]; 2] =
    [&[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19], b"119547037146038801333356"];

/// Whether `file` begins as such a file does.
pub(in crate::nets::import) fn is_legacy(file: &[u8]) -> bool {
    let head = &file[..file.len().min(48)];
    MAGIC.iter().any(|magic| head.windows(magic.len()).any(|window| window == *magic))
}

/// What such a file holds.
pub(in crate::nets::import) fn read(file: &Arc<Vec<u8>>) -> Result<Contents, String> {
    let mut at = 0;
    let mut next = |what: &str| {
        let pickled =
            parse(&file[at..], MOST_OPCODES).map_err(|found| format!("its {what}: found {found}"))?;
        at += pickled.length;
        Ok::<_, String>(pickled)
    };
    next("magic number")?;
    next("version")?;
    next("description of the system")?;
    let objects = next("objects")?;
    let keys = next("list of storages")?;
    let sizes = element_sizes(&objects);
    let mut storages = HashMap::new();
    for key in keys.sequence(keys.root).ok_or("no list of storages where one belongs")? {
        let key = keys.text(*key).ok_or("a storage whose name is no text")?;
        let cut = || format!("it ends in its storage {key}");
        let head: [u8; 8] = file.get(at..at + 8).ok_or_else(cut)?.try_into().expect("8 bytes");
        let elements = usize::try_from(i64::from_le_bytes(head)).map_err(|_| cut())?;
        let size = sizes.get(&key).ok_or_else(|| format!("its storage {key} belongs to no tensor"))?;
        let end = elements.checked_mul(*size).and_then(|bytes| (at + 8).checked_add(bytes));
        let end = end.filter(|end| *end <= file.len()).ok_or_else(cut)?;
        storages.insert(key, Storage::part(file, at + 8..end));
        at = end;
    }
    let missing = Storage::missing();
    let mut contents =
        contents_of(&objects, &mut |key| storages.get(key).cloned().unwrap_or_else(|| missing.clone()))?;
    contents.kind = "PyTorch checkpoint (legacy)";
    Ok(contents)
}

/// The bytes of an element of every storage that the objects name.
fn element_sizes(objects: &Pickled<'_>) -> HashMap<String, usize> {
    let persistent = (0..objects.objects.len())
        .filter(|&i| matches!(objects.objects[i], Object::Persistent(_)))
        .filter_map(|i| storage_id(objects, Value::Object(i)));
    persistent.map(|id| (id.key, id.kind.bytes)).collect()
}
