//! Weights in other files beside a model (ONNX's "external data"): they are read into the model, so that everything that looks at
//! it afterwards sees one whole file.
//!
//! A model comes from strangers, so it may name files in its own folder and below only, and no more bytes than a model may have.

use super::graph::{DEEPEST, GRAPH, GRAPHS, INITIALIZERS, NODE_ATTRIBUTES, NODES, TENSORS};
use crate::protobuf::{Message, Part, Wire, int, messages, parts, text};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// Protobuf messages are no larger.
const MOST_BYTES: u64 = 1 << 31;

// Fields of a tensor.
const NAME: u64 = 8;
const RAW: u64 = 9;
const EXTERNAL: u64 = 13;
const LOCATION: u64 = 14;

/// Why a model cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The file system refused.
    Io(io::Error),
    /// What is wrong, as a sentence.
    Problem(String),
}

/// The model in the file at `path`, with its weights in other files.
///
/// # Errors
/// [`Unreadable`].
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Unreadable> {
    let size = std::fs::metadata(path).map_err(Unreadable::Io)?.len();
    if size > MOST_BYTES {
        return Err(Unreadable::Problem(format!("expected at most {MOST_BYTES} bytes, found {size}")));
    }
    let bytes = std::fs::read(path).map_err(Unreadable::Io)?;
    let whole = Beside { model: path, left: MOST_BYTES - size.min(MOST_BYTES) }.whole(&bytes);
    Ok(whole.map_err(Unreadable::Problem)?.unwrap_or(bytes))
}

/// Gives the part of a message with this number a new form; none if it stays.
type Change<'f, B> = dyn FnMut(&mut B, u64, &[u8]) -> Result<Option<Message>, String> + 'f;

/// The files beside a model.
struct Beside<'a> {
    model: &'a Path,
    /// Bytes that may still be read.
    left: u64,
}

impl Beside<'_> {
    /// The model with the weights in other files; none if it has none.
    fn whole(&mut self, model: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let new = self.replaced(model, &mut |beside, part, bytes| match part {
            GRAPH => beside.graph(bytes, 0),
            _ => Ok(None),
        });
        Ok(new?.map(Message::into_bytes))
    }

    /// A message whose parts `change` gives in a new form; none if it gives none. A damaged one is left to those who read it.
    fn replaced(&mut self, message: &[u8], change: &mut Change<'_, Self>) -> Result<Option<Message>, String> {
        let Some(parts) = parts(message) else { return Ok(None) };
        let mut new: Option<Message> = None;
        for (nth, part) in parts.iter().enumerate() {
            let changed = match part.value {
                Wire::Bytes(bytes) => change(self, part.number, bytes)?,
                _ => None,
            };
            match (changed, &mut new) {
                (Some(changed), _) => {
                    let before = new.take().unwrap_or_else(|| of(&parts[..nth]));
                    new = Some(before.message(part.number, &changed));
                }
                (None, Some(_)) => new = new.take().map(|new| new.raw(part.raw)),
                (None, None) => {}
            }
        }
        Ok(new)
    }

    fn graph(&mut self, graph: &[u8], depth: usize) -> Result<Option<Message>, String> {
        // Deeper ones are refused by those who read the model.
        if depth > DEEPEST {
            return Ok(None);
        }
        self.replaced(graph, &mut |beside, part, bytes| match part {
            INITIALIZERS => beside.tensor(bytes),
            NODES => beside.replaced(bytes, &mut |beside, part, bytes| match part {
                NODE_ATTRIBUTES => beside.replaced(bytes, &mut |beside, part, bytes| match part {
                    part if TENSORS.contains(&part) => beside.tensor(bytes),
                    part if GRAPHS.contains(&part) => beside.graph(bytes, depth + 1),
                    _ => Ok(None),
                }),
                _ => Ok(None),
            }),
            _ => Ok(None),
        })
    }

    /// A tensor with its numbers; none if they are in it already.
    fn tensor(&mut self, tensor: &[u8]) -> Result<Option<Message>, String> {
        let Some(fields) = parts(tensor).filter(|fields| int(fields, LOCATION) == Some(1)) else {
            return Ok(None);
        };
        let name = text(&fields, NAME).unwrap_or("without a name");
        let bytes = self.numbers(&fields).map_err(|problem| format!("its weight {name}: {problem}"))?;
        let kept = fields.iter().filter(|part| ![EXTERNAL, LOCATION, RAW].contains(&part.number));
        Ok(Some(kept.fold(Message::default(), |new, part| new.raw(part.raw)).bytes(RAW, &bytes)))
    }

    fn numbers(&mut self, tensor: &[Part<'_>]) -> Result<Vec<u8>, String> {
        let entries: Vec<_> = messages(tensor, EXTERNAL).filter_map(parts).collect();
        let value = |key: &str| {
            entries.iter().find(|entry| text(entry, 1) == Some(key)).and_then(|entry| text(entry, 2))
        };
        let number = |key: &str| match value(key) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse::<u64>()
                .map(Some)
                .map_err(|_| format!("expected a number as {key} of its data, found {text}")),
        };
        let location = value("location").ok_or("it is in another file, which has no name")?;
        let path = self.beside(location)?;
        let mut file = File::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let size = file.metadata().map_err(|e| format!("{}: {e}", path.display()))?.len();
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or(size.saturating_sub(offset));
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(format!(
                "expected {length} bytes from byte {offset} on in {}, found a file of {size} bytes",
                path.display()
            ));
        }
        self.left = self.left.checked_sub(length).ok_or_else(|| {
            format!("expected at most {MOST_BYTES} bytes in the model and the files beside it")
        })?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(length).read_to_end(&mut bytes))
            .map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(bytes)
    }

    /// The file `location`, which must be in the model's folder or below. Links are followed first: a model that is a link, as in
    /// download caches, may have its weights beside itself or beside what it links to.
    fn beside(&self, location: &str) -> Result<PathBuf, String> {
        let relative = Path::new(location);
        let plain =
            relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !plain || location.contains('\\') {
            return Err(format!("it is in the file {location}, which is not in the model's folder"));
        }
        let folder = self.model.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let path = folder.join(relative);
        let found = path.canonicalize().map_err(|e| {
            format!(
                "it is in {}, which cannot be read: {e}; models are kept together with these files",
                path.display()
            )
        })?;
        let target = self.model.canonicalize().ok();
        let folders =
            [folder.canonicalize().ok(), target.and_then(|model| model.parent().map(Path::to_owned))];
        if !folders.iter().flatten().any(|folder| found.starts_with(folder)) {
            return Err(format!("it is in the file {location}, which links out of the model's folder"));
        }
        if !found.is_file() {
            return Err(format!("it is in {}, which is no file", path.display()));
        }
        Ok(path)
    }
}

fn of(parts: &[Part<'_>]) -> Message {
    parts.iter().fold(Message::default(), |message, part| message.raw(part.raw))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{model, node};
    use super::*;
    use crate::victim::onnx::Runtime;
    use crate::victim::{Asking, Onnx, VictimError};
    use std::fs;

    /// A weight of three numbers with `entries` in place of them.
    fn weight(entries: &[(&str, &str)]) -> Message {
        let weight = [1u64, 3, 1, 1].iter().fold(Message::default(), |weight, side| weight.int(1, *side));
        let weight = weight.int(2, 1).text(NAME, "w").int(LOCATION, 1);
        entries.iter().fold(weight, |weight, (key, value)| {
            weight.message(EXTERNAL, &Message::default().text(1, key).text(2, value))
        })
    }

    /// Means of the channels plus a weight, in a graph with one more such weight in an attribute of a graph inside.
    fn with(entries: &[(&str, &str)]) -> Vec<u8> {
        let value = Message::default().text(1, "value").message(5, &weight(entries)).int(20, 4);
        let constant = node("Constant", &[], "inner").message(NODE_ATTRIBUTES, &value);
        let nodes = [
            node("GlobalAveragePool", &["input"], "p"),
            constant,
            node("Add", &["p", "w"], "q"),
            node("Add", &["q", "inner"], "output"),
        ];
        model(13, &nodes, &[weight(entries)], &[0, 3, 2, 2], &[0, 3, 1, 1])
    }

    fn open(folder: &Path, entries: &[(&str, &str)]) -> Result<Onnx, VictimError> {
        let path = folder.join("m.onnx");
        fs::write(&path, with(entries)).expect("writable");
        Onnx::open(&path, &Asking::default(), &Runtime::Here)
    }

    fn numbers() -> Vec<u8> {
        [7.0f32, 1.0, 2.0, 3.0, 9.0].iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn weights_beside_a_model_are_read() {
        let folder = tempfile::tempdir().expect("temp");
        fs::create_dir(folder.path().join("weights")).expect("writable");
        fs::write(folder.path().join("weights/m.data"), numbers()).expect("writable");
        let entries = [("location", "weights/m.data"), ("offset", "4"), ("length", "12"), ("checksum", "x")];
        let whole = open(folder.path(), &entries).expect("a classifier");
        let bytes = read(&folder.path().join("m.onnx")).expect("readable");
        let inside = Onnx::from_bytes(Path::new("m.onnx"), &bytes, &Asking::default(), &Runtime::Here);
        use crate::data::ImageSet;
        use crate::victim::{Request, Victim};
        let black = ImageSet::new(2, 2, 3, vec![0; 12], vec![0]);
        let rows = whole.ask(&Request::unchanged(&black)).expect("it answers").rows;
        assert_eq!(rows, [2.0, 4.0, 6.0]);
        assert_eq!(inside.expect("whole").identity(), whole.identity());
        // Other weights are another model.
        fs::write(folder.path().join("weights/m.data"), [0; 20]).expect("writable");
        assert_ne!(open(folder.path(), &entries).expect("a classifier").identity(), whole.identity());
        // Without a length, all the rest.
        fs::write(folder.path().join("weights/m.data"), &numbers()[4..16]).expect("writable");
        open(folder.path(), &entries[..1]).expect("a classifier");
    }

    #[test]
    fn no_other_file_is_read_and_no_more_than_there_is() {
        let outside = tempfile::tempdir().expect("temp");
        let folder = outside.path().join("model");
        fs::create_dir(&folder).expect("writable");
        fs::write(outside.path().join("secret"), numbers()).expect("writable");
        fs::write(folder.join("m.data"), numbers()).expect("writable");
        let secret = outside.path().join("secret").to_string_lossy().into_owned();
        let at = |location: &str, offset: &str, length: &str, words: &str| {
            let entries = [("location", location), ("offset", offset), ("length", length)];
            let error = open(&folder, &entries).err().unwrap_or_else(|| panic!("{entries:?}")).to_string();
            assert!(error.contains(words) && error.contains("its weight w"), "{error} without {words}");
        };
        at("../secret", "4", "12", "not in the model's folder");
        at(&secret, "4", "12", "not in the model's folder");
        at("none.data", "4", "12", "cannot be read");
        at(".", "4", "12", "which is no file");
        at("m.data", "12", "12", "found a file of 20 bytes");
        at("m.data", "18446744073709551615", "12", "found a file of 20 bytes");
        at("m.data", "4", "many", "expected a number as length");
        at("m.data", "4", "8", "has 8 bytes, expected 12");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("../secret", folder.join("link.data")).expect("links");
            at("link.data", "4", "12", "links out of the model's folder");
            // A model and its weights may both be links, as in a download cache.
            let cache = outside.path().join("cache");
            fs::create_dir(&cache).expect("writable");
            for name in ["m.onnx", "m.data"] {
                let entries = [("location", "m.data"), ("offset", "4"), ("length", "12")];
                fs::write(folder.join("m.onnx"), with(&entries)).expect("writable");
                std::os::unix::fs::symlink(folder.join(name), cache.join(name)).expect("links");
            }
            Onnx::open(&cache.join("m.onnx"), &Asking::default(), &Runtime::Here).expect("a classifier");
        }
        let none: [(&str, &str); 0] = [];
        assert!(open(&folder, &none).err().expect("no name").to_string().contains("no name"));
    }
}
