//! Writes files as torch.save does, byte for byte where it matters, and files that it never would.

#![allow(dead_code, reason = "each test uses its part of this")]

/// A Python object to be pickled.
#[derive(Clone, Debug)]
pub(crate) enum Py {
    None,
    Int(i64),
    Text(String),
    Tuple(Vec<Py>),
    List(Vec<Py>),
    Dict(Vec<(String, Py)>),
    /// A dictionary with any keys.
    Map(Vec<(Py, Py)>),
    /// An object whose state is set: the second is given to the first.
    Built(Box<Py>, Box<Py>),
    /// An object with items set by key.
    Filled(Box<Py>, Vec<(Py, Py)>),
    /// Opcodes as they are.
    Raw(&'static [u8]),
    /// A name that the unpickler is asked to import.
    Global(&'static str, &'static str),
    /// A call of the first with the tuple that is the second.
    Call(Box<Py>, Box<Py>),
    /// A persistent id.
    Persistent(Box<Py>),
}

pub(crate) fn text(text: &str) -> Py {
    Py::Text(text.to_owned())
}

pub(crate) fn call(module: &'static str, name: &'static str, arguments: Vec<Py>) -> Py {
    Py::Call(Box::new(Py::Global(module, name)), Box::new(Py::Tuple(arguments)))
}

impl Py {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => out.push(b'N'),
            // LONG1 with eight bytes holds any of them.
            Self::Int(value) => {
                out.extend([0x8a, 8]);
                out.extend(value.to_le_bytes());
            }
            Self::Text(text) => {
                out.push(b'X');
                out.extend((text.len() as u32).to_le_bytes());
                out.extend(text.as_bytes());
            }
            Self::Tuple(items) => {
                out.push(b'(');
                items.iter().for_each(|item| item.write(out));
                out.push(b't');
            }
            Self::List(items) => {
                out.extend(b"](");
                items.iter().for_each(|item| item.write(out));
                out.push(b'e');
            }
            Self::Dict(entries) => {
                out.extend(b"}(");
                for (key, value) in entries {
                    text(key).write(out);
                    value.write(out);
                }
                out.push(b'u');
            }
            Self::Map(entries) => {
                out.extend(b"}(");
                for (key, value) in entries {
                    key.write(out);
                    value.write(out);
                }
                out.push(b'u');
            }
            Self::Built(object, state) => {
                object.write(out);
                state.write(out);
                out.push(b'b');
            }
            Self::Filled(object, entries) => {
                object.write(out);
                out.push(b'(');
                for (key, value) in entries {
                    key.write(out);
                    value.write(out);
                }
                out.push(b'u');
            }
            Self::Raw(opcodes) => out.extend(*opcodes),
            Self::Global(module, name) => out.extend(format!("c{module}\n{name}\n").as_bytes()),
            Self::Call(callable, arguments) => {
                callable.write(out);
                arguments.write(out);
                out.push(b'R');
            }
            Self::Persistent(id) => {
                id.write(out);
                out.push(b'Q');
            }
        }
    }

    /// The pickle, in protocol 2.
    pub(crate) fn pickle(&self) -> Vec<u8> {
        let mut out = vec![0x80, 2];
        self.write(&mut out);
        out.push(b'.');
        out
    }
}

/// Type of a storage's elements.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Float,
    Double,
    Half,
    Bfloat16,
    Long,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Self::Float => "FloatStorage",
            Self::Double => "DoubleStorage",
            Self::Half => "HalfStorage",
            Self::Bfloat16 => "BFloat16Storage",
            Self::Long => "LongStorage",
        }
    }

    fn bytes(self, values: &[f32]) -> Vec<u8> {
        let encode = |v: &f32| match self {
            Self::Float => v.to_le_bytes().to_vec(),
            Self::Double => f64::from(*v).to_le_bytes().to_vec(),
            Self::Half => half::f16::from_f32(*v).to_le_bytes().to_vec(),
            Self::Bfloat16 => half::bf16::from_f32(*v).to_le_bytes().to_vec(),
            Self::Long => (*v as i64).to_le_bytes().to_vec(),
        };
        values.iter().flat_map(encode).collect()
    }
}

/// A storage: its key, elements and their bytes.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub(crate) key: String,
    pub(crate) elements: usize,
    pub(crate) bytes: Vec<u8>,
}

/// The persistent id of a storage that is said to have `elements` elements.
pub(crate) fn storage_id(kind: Kind, key: &str, elements: i64) -> Py {
    let class = Py::Global("torch", kind.class());
    Py::Persistent(Box::new(Py::Tuple(vec![
        text("storage"),
        class,
        text(key),
        text("cpu"),
        Py::Int(elements),
    ])))
}

/// A tensor on a storage, with any shape and strides that one likes.
pub(crate) fn tensor(storage: Py, offset: i64, shape: &[i64], strides: &[i64]) -> Py {
    let tuple = |items: &[i64]| Py::Tuple(items.iter().map(|i| Py::Int(*i)).collect());
    let hooks = call("collections", "OrderedDict", vec![]);
    let arguments = vec![storage, Py::Int(offset), tuple(shape), tuple(strides), Py::None, hooks];
    call("torch._utils", "_rebuild_tensor_v2", arguments)
}

/// A state dictionary and its storages, each tensor on one of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) entries: Vec<(String, Py)>,
    pub(crate) storages: Vec<Storage>,
}

impl State {
    pub(crate) fn push(&mut self, name: &str, kind: Kind, shape: &[usize], values: &[f32]) {
        let key = self.storages.len().to_string();
        let shape: Vec<i64> = shape.iter().map(|d| *d as i64).collect();
        let strides: Vec<i64> = (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect();
        let storage = storage_id(kind, &key, values.len() as i64);
        self.entries.push((name.to_owned(), tensor(storage, 0, &shape, &strides)));
        self.storages.push(Storage { key, elements: values.len(), bytes: kind.bytes(values) });
    }

    pub(crate) fn dict(&self) -> Py {
        Py::Dict(self.entries.clone())
    }
}

/// The format of PyTorch 0.1.10 to 1.5.
pub(crate) fn legacy(root: &Py, storages: &[Storage]) -> Vec<u8> {
    let mut file = vec![0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
    file.extend(Py::Int(1001).pickle());
    // {"little_endian": True}
    file.extend(b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s.");
    file.extend(root.pickle());
    file.extend(Py::List(storages.iter().map(|s| text(&s.key)).collect()).pickle());
    for storage in storages {
        file.extend((storage.elements as i64).to_le_bytes());
        file.extend(&storage.bytes);
    }
    file
}
