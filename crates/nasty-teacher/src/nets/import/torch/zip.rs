//! The format of PyTorch 1.6 and later: a zip archive with `data.pkl`, and `data/KEY` for each storage.

use std::collections::HashMap;
use std::sync::Arc;

use super::contents::{Contents, contents};
use crate::nets::import::archive::Archive;
use crate::nets::import::stored::Storage;

/// What an archive of torch.save holds; `None` if it is another archive.
pub(in crate::nets::import) fn read(
    archive: &Arc<Archive>,
    names: &[String],
) -> Option<Result<Contents, String>> {
    let (pickle, stem) = names.iter().enumerate().find_map(|(index, name)| {
        let stem = name.strip_suffix("data.pkl").filter(|stem| stem.is_empty() || stem.ends_with('/'))?;
        (stem.matches('/').count() <= 1).then_some((index, stem))
    })?;
    let by_name: HashMap<&str, usize> =
        names.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let script = by_name.contains_key(format!("{stem}constants.pkl").as_str());
    let read = || {
        let order = by_name.get(format!("{stem}byteorder").as_str()).map(|&i| archive.read(i)).transpose()?;
        let big_endian = order.is_some_and(|order| order.trim_ascii() == b"big");
        let pickle = archive.read(pickle)?;
        let mut storages: HashMap<String, Arc<Storage>> = HashMap::new();
        let mut storage = |key: &str| {
            let make = || match by_name.get(format!("{stem}data/{key}").as_str()) {
                Some(&index) => Storage::entry(archive, index, big_endian),
                None => Storage::missing(),
            };
            storages.entry(key.to_owned()).or_insert_with(make).clone()
        };
        contents(&pickle, &mut storage)
    };
    Some(read().map(|mut contents: Contents| {
        contents.kind = if script { "TorchScript archive" } else { "PyTorch checkpoint (zip)" };
        contents.archive = Some(archive.clone());
        contents
    }))
}
