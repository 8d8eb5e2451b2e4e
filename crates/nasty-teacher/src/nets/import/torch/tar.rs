//! The format of PyTorch before 0.1.10: a tar archive of `storages`, `tensors` and `pickle`.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use super::MOST_OPCODES;
use super::contents::{Contents, named_tensors};
use super::tensors::ElementKind;
use crate::nets::import::stored::{Storage, Stored, Values};
use crate::pickle::{Object, Pickled, Value, parse};

/// Whether `file` is a tar archive.
pub(in crate::nets::import) fn is_tar(file: &[u8]) -> bool {
    file.get(257..262) == Some(b"ustar")
}

/// The names of the entries, and what they hold if they are those of torch.save.
pub(in crate::nets::import) fn read(file: &Arc<Vec<u8>>) -> Result<(Vec<String>, Option<Contents>), String> {
    let (mut names, mut parts) = (Vec::new(), HashMap::new());
    for entry in tar::Archive::new(file.as_slice()).entries().map_err(|e| e.to_string())? {
        let mut entry = entry.map_err(|e| e.to_string())?;
        let kind = entry.header().entry_type();
        // A sparse entry may claim any size.
        if !(kind.is_file() || kind.is_dir()) || entry.size() > file.len() as u64 {
            return Err(format!("it has an entry of {} bytes of type {kind:?}", entry.size()));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        if ["storages", "tensors", "pickle"].contains(&name.as_str()) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
            parts.insert(name.clone(), bytes);
        }
        names.push(name);
    }
    let (Some(storages), Some(tensors), Some(pickle)) =
        (parts.remove("storages"), parts.remove("tensors"), parts.remove("pickle"))
    else {
        return Ok((names, None));
    };
    let storages = read_storages(storages)?;
    let tensors = read_tensors(&tensors, &storages)?;
    let pickled = parse(&pickle, MOST_OPCODES).map_err(|found| format!("its objects: found {found}"))?;
    let mut contents = named_tensors(&pickled, &mut |number| {
        let Object::Persistent(id) = &pickled.objects[number] else { return None };
        let key = pickled.integer(*id).or_else(|| pickled.text(*id)?.parse().ok())?;
        tensors.get(&key).map(|tensor| Stored {
            name: String::new(),
            shape: tensor.shape.clone(),
            element: tensor.kind.float,
            values: Values::View {
                storage: tensor.storage.clone(),
                offset: tensor.offset,
                strides: tensor.strides.clone(),
            },
        })
    })?;
    contents.kind = "PyTorch checkpoint (tar)";
    Ok((names, Some(contents)))
}

type Storages = HashMap<i64, (ElementKind, Arc<Storage>)>;

struct Tensor {
    storage: Arc<Storage>,
    kind: ElementKind,
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
}

/// Reads pickles and numbers one behind the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn pickle(&mut self) -> Result<Pickled<'a>, String> {
        let pickled = parse(self.0, MOST_OPCODES)?;
        self.0 = &self.0[pickled.length..];
        Ok(pickled)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<usize, String> {
        let bytes = self.take(8)?.try_into().expect("8 bytes");
        usize::try_from(i64::from_le_bytes(bytes)).map_err(|_| "a size below zero".into())
    }

    fn count(&mut self) -> Result<i64, String> {
        let pickled = self.pickle()?;
        pickled.integer(pickled.root).ok_or_else(|| "no count where one belongs".into())
    }
}

fn kind(pickled: &Pickled<'_>, class: Value<'_>) -> Option<ElementKind> {
    let name = pickled.global(class)?.rsplit('.').next()?.to_owned();
    ElementKind::named(&name.replace("Tensor", "Storage"))
}

fn read_storages(bytes: Vec<u8>) -> Result<Storages, String> {
    let file = Arc::new(bytes);
    let mut reader = Reader(&file);
    let mut storages = HashMap::new();
    for _ in 0..reader.count()? {
        let about = reader.pickle()?;
        let Some([key, _, class, ..]) = about.tuple(about.root) else {
            return Err("a storage without a type".into());
        };
        let key = about.integer(*key).ok_or("a storage without a key")?;
        let kind = kind(&about, *class).ok_or("a storage of an unknown type")?;
        let elements = reader.number()?;
        let from = file.len() - reader.0.len();
        let bytes = elements.checked_mul(kind.bytes).ok_or("it is cut off")?;
        reader.take(bytes)?;
        storages.insert(key, (kind, Storage::part(&file, from..from + bytes)));
    }
    Ok(storages)
}

fn read_tensors(bytes: &[u8], storages: &Storages) -> Result<HashMap<i64, Tensor>, String> {
    let mut reader = Reader(bytes);
    let mut tensors = HashMap::new();
    for _ in 0..reader.count()? {
        let about = reader.pickle()?;
        let Some([key, storage, ..]) = about.tuple(about.root) else {
            return Err("a tensor without a storage".into());
        };
        let key = about.integer(*key).ok_or("a tensor without a key")?;
        let axes = u32::from_le_bytes(reader.take(4)?.try_into().expect("4 bytes")) as usize;
        reader.take(4)?;
        if axes > 64 {
            return Err(format!("a tensor of {axes} axes"));
        }
        let mut sizes = || (0..axes).map(|_| reader.number()).collect::<Result<Vec<_>, _>>();
        let (shape, strides) = (sizes()?, sizes()?);
        let offset = reader.number()?;
        // A tensor without a storage has no values.
        let Some((kind, storage)) = about.integer(*storage).and_then(|key| storages.get(&key)) else {
            continue;
        };
        tensors.insert(key, Tensor { storage: storage.clone(), kind: *kind, shape, strides, offset });
    }
    Ok(tensors)
}
