//! The one shape of Python pickle that CIFAR's Python version uses: a dict with lists of integers and strings,
//! and one numpy array of bytes.
//!
//! A pickle is a program for a small stack machine that may call any Python function. This reader knows the
//! opcodes that Python 2 and 3 write for that shape in protocols 2 and 3, calls nothing, and refuses every name
//! but the five that rebuild an array.

use std::borrow::Cow;
use std::collections::HashMap;

use super::error::DataError;

/// What a pickled batch of images holds.
#[derive(Debug, PartialEq)]
pub(super) struct PickledBatch<'a> {
    /// The list under the wanted key.
    pub(super) labels: Vec<i64>,
    /// `[labels, row]`, row-major.
    pub(super) data: Cow<'a, [u8]>,
}

/// The longest file to expect for `count` rows of `row` bytes: Python 3 writes them as UTF-8, up to 2 bytes each.
pub(super) fn size_limit(count: usize, row: usize) -> u64 {
    (count * (2 * row + 256) + (1 << 20)) as u64
}

/// Reads the dict in `bytes`: `count` integers under `key` and a uint8 array `[count, row]` under `data`.
pub(super) fn read<'a>(
    label: &str,
    bytes: &'a [u8],
    key: &str,
    count: usize,
    row: usize,
) -> Result<PickledBatch<'a>, DataError> {
    // A few opcodes write each label and each file name; far more of them are no batch of images.
    let mut machine = Machine { rest: bytes, steps: 32 * count + 4096, ..Machine::default() };
    let batch = machine.run().and_then(|top| machine.batch(top, key, count, row));
    batch.map_err(|found| {
        let expected = format!("a pickled dict with {count} `{key}` and {count}×{row} bytes of `data`");
        DataError::malformed(label, expected, found)
    })
}

/// What is on the stack. Everything that can grow is kept in an arena, so copies are cheap and cannot multiply.
#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Mark,
    None,
    Bool(bool),
    Int(i64),
    /// A string or bytes.
    Text(&'a [u8]),
    /// An index into the arena.
    Kept(usize),
}

#[derive(Debug)]
enum Object<'a> {
    List(Vec<Value<'a>>),
    Tuple(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    Global(Global),
    /// What `_codecs.encode` makes: how Python 3 writes bytes in protocol 2.
    Bytes(Vec<u8>),
    /// numpy's dtype of unsigned bytes.
    UnsignedByte,
    /// A numpy array and, once built, its (shape, Fortran order, data).
    Array(Option<(Value<'a>, bool, Value<'a>)>),
}

/// The only names a batch may mention.
#[derive(Clone, Copy, Debug)]
enum Global {
    Reconstruct,
    NdArray,
    Dtype,
    Encode,
}

/// The stack machine. A `String` error says what was found.
#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    steps: usize,
    stack: Vec<Value<'a>>,
    arena: Vec<Object<'a>>,
    memo: HashMap<u32, Value<'a>>,
}

type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    fn run(&mut self) -> Step<Value<'a>> {
        if !self.rest.starts_with(&[0x80]) {
            return Err("no pickle of protocol 2 or 3".into());
        }
        loop {
            self.steps = self.steps.checked_sub(1).ok_or("too many opcodes")?;
            let opcode = self.take(1)?[0];
            match opcode {
                b'.' => return self.pop(),
                0x80 => match self.take(1)?[0] {
                    2 | 3 => {}
                    other => return Err(format!("a pickle of protocol {other}")),
                },
                b'(' => self.stack.push(Value::Mark),
                b'N' => self.stack.push(Value::None),
                0x88 | 0x89 => self.stack.push(Value::Bool(opcode == 0x88)),
                b'K' => self.integer(1)?,
                b'M' => self.integer(2)?,
                b'J' => {
                    let bytes = self.take(4)?;
                    self.stack
                        .push(Value::Int(i32::from_le_bytes(bytes.try_into().expect("4 bytes")).into()));
                }
                b'U' | b'C' => self.text(1)?,
                b'T' | b'X' | b'B' => self.text(4)?,
                b'}' => self.keep(Object::Dict(Vec::new())),
                b']' => self.keep(Object::List(Vec::new())),
                b')' => self.keep(Object::Tuple(Vec::new())),
                b't' => {
                    let items = self.pop_to_mark()?;
                    self.keep(Object::Tuple(items));
                }
                0x85..=0x87 => {
                    let from =
                        self.stack.len().checked_sub(usize::from(opcode) - 0x84).ok_or("an empty stack")?;
                    let items = self.stack.split_off(from);
                    self.keep(Object::Tuple(items));
                }
                b'q' | b'r' => {
                    let place = self.number(if opcode == b'q' { 1 } else { 4 })?;
                    let top = *self.stack.last().ok_or("an empty stack")?;
                    self.memo.insert(place, top);
                }
                b'h' | b'j' => {
                    let place = self.number(if opcode == b'h' { 1 } else { 4 })?;
                    let value = *self.memo.get(&place).ok_or("a reference to nothing")?;
                    self.stack.push(value);
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_to_mark()?;
                    self.append(items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.insert(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.insert(&items)?;
                }
                b'c' => {
                    let global = self.global()?;
                    self.keep(Object::Global(global));
                }
                b'R' => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    let made = self.call(function, arguments)?;
                    self.keep(made);
                }
                b'b' => {
                    let state = self.pop()?;
                    self.build(state)?;
                }
                other => return Err(format!("the opcode {other:#04x}, which no batch needs")),
            }
        }
    }

    fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("its end too early")?;
        self.rest = rest;
        Ok(taken)
    }

    /// An unsigned little-endian number of at most 4 bytes.
    fn number(&mut self, bytes: usize) -> Step<u32> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    fn integer(&mut self, bytes: usize) -> Step<()> {
        let number = self.number(bytes)?;
        self.stack.push(Value::Int(number.into()));
        Ok(())
    }

    fn text(&mut self, length_bytes: usize) -> Step<()> {
        let length = self.number(length_bytes)? as usize;
        let text = self.take(length)?;
        self.stack.push(Value::Text(text));
        Ok(())
    }

    fn keep(&mut self, object: Object<'a>) {
        self.stack.push(Value::Kept(self.arena.len()));
        self.arena.push(object);
    }

    fn pop(&mut self) -> Step<Value<'a>> {
        self.stack.pop().ok_or_else(|| "an empty stack".into())
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Value<'a>>> {
        let mark = self.stack.iter().rposition(|value| matches!(value, Value::Mark)).ok_or("no mark")?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn top(&mut self) -> Step<&mut Object<'a>> {
        match self.stack.last() {
            Some(&Value::Kept(i)) => Ok(&mut self.arena[i]),
            _ => Err("an item without a list or dict".into()),
        }
    }

    fn append(&mut self, items: Vec<Value<'a>>) -> Step<()> {
        match self.top()? {
            Object::List(list) => list.extend(items),
            _ => return Err("an item without a list".into()),
        }
        Ok(())
    }

    fn insert(&mut self, items: &[Value<'a>]) -> Step<()> {
        let (pairs, []) = items.as_chunks::<2>() else { return Err("a key without a value".into()) };
        match self.top()? {
            Object::Dict(dict) => dict.extend(pairs.iter().map(|&[key, value]| (key, value))),
            _ => return Err("a key without a dict".into()),
        }
        Ok(())
    }

    fn global(&mut self) -> Step<Global> {
        let mut line = || -> Step<&'a [u8]> {
            let end =
                self.rest.iter().take(256).position(|&byte| byte == b'\n').ok_or("a name without an end")?;
            Ok(&self.take(end + 1)?[..end])
        };
        match (line()?, line()?) {
            (b"numpy.core.multiarray" | b"numpy._core.multiarray", b"_reconstruct") => {
                Ok(Global::Reconstruct)
            }
            (b"numpy", b"ndarray") => Ok(Global::NdArray),
            (b"numpy", b"dtype") => Ok(Global::Dtype),
            (b"_codecs", b"encode") => Ok(Global::Encode),
            (module, name) => {
                let (module, name) = (String::from_utf8_lossy(module), String::from_utf8_lossy(name));
                Err(format!("a call of {module:?}.{name:?}, which no batch needs; nothing was executed"))
            }
        }
    }

    fn call(&self, function: Value<'a>, arguments: Value<'a>) -> Step<Object<'a>> {
        let arguments = self.tuple(arguments)?;
        match (self.object(function), arguments) {
            (Some(Object::Global(Global::Reconstruct)), _) => Ok(Object::Array(None)),
            (Some(Object::Global(Global::Dtype)), [Value::Text(b"u1" | b"|u1"), ..]) => {
                Ok(Object::UnsignedByte)
            }
            (Some(Object::Global(Global::Dtype)), _) => Err("an array of other numbers than bytes".into()),
            (Some(Object::Global(Global::Encode)), [Value::Text(text), Value::Text(b"latin1")]) => {
                latin1(text)
            }
            _ => Err("a call that no batch needs; nothing was executed".into()),
        }
    }

    fn build(&mut self, state: Value<'a>) -> Step<()> {
        let state = self.tuple(state)?.to_vec();
        let is_byte = |machine: &Self, value| matches!(machine.object(value), Some(Object::UnsignedByte));
        let built = match state[..] {
            [_, shape, dtype, Value::Bool(fortran), data] if is_byte(self, dtype) => {
                Some((shape, fortran, data))
            }
            _ => None,
        };
        match (self.top()?, built) {
            (Object::UnsignedByte, _) => Ok(()),
            (Object::Array(array), Some(state)) => {
                *array = Some(state);
                Ok(())
            }
            _ => Err("an array in another form than numpy's".into()),
        }
    }

    fn object(&self, value: Value<'a>) -> Option<&Object<'a>> {
        match value {
            Value::Kept(i) => self.arena.get(i),
            _ => None,
        }
    }

    fn tuple(&self, value: Value<'a>) -> Step<&[Value<'a>]> {
        match self.object(value) {
            Some(Object::Tuple(items)) => Ok(items),
            _ => Err("no tuple where one belongs".into()),
        }
    }

    /// The wanted parts of the dict at the top.
    fn batch(&mut self, top: Value<'a>, key: &str, count: usize, row: usize) -> Step<PickledBatch<'a>> {
        let Some(Object::Dict(dict)) = self.object(top) else { return Err("no dict".into()) };
        let get = |key: &str| {
            let mut found =
                dict.iter().rev().filter(|(k, _)| matches!(k, Value::Text(k) if *k == key.as_bytes()));
            found.next().map(|(_, value)| *value).ok_or_else(|| format!("no `{key}`"))
        };
        let (labels, data) = (get(key)?, get("data")?);
        let Some(Object::List(labels)) = self.object(labels) else {
            return Err(format!("`{key}` that is no list"));
        };
        let labels: Option<Vec<i64>> = labels
            .iter()
            .map(|label| if let Value::Int(label) = label { Some(*label) } else { None })
            .collect();
        let labels = labels.ok_or_else(|| format!("`{key}` that are no integers"))?;
        if labels.len() != count {
            return Err(format!("{} `{key}`", labels.len()));
        }
        let Some(&Object::Array(Some((shape, fortran, data)))) = self.object(data) else {
            return Err("`data` that is no numpy array".into());
        };
        let shape: Vec<i64> = self
            .tuple(shape)?
            .iter()
            .map(|size| if let Value::Int(size) = size { *size } else { -1 })
            .collect();
        if shape != [count as i64, row as i64] {
            return Err(format!("`data` of shape {shape:?}"));
        }
        let data = self.bytes(data)?;
        if data.len() != count * row {
            return Err(format!("{} bytes of `data`", data.len()));
        }
        let data = if fortran {
            (0..count * row).map(|i| data[i % row * count + i / row]).collect::<Vec<u8>>().into()
        } else {
            data
        };
        Ok(PickledBatch { labels, data })
    }

    fn bytes(&mut self, value: Value<'a>) -> Step<Cow<'a, [u8]>> {
        match value {
            Value::Text(bytes) => Ok(bytes.into()),
            Value::Kept(i) => match &mut self.arena[i] {
                Object::Bytes(bytes) => Ok(std::mem::take(bytes).into()),
                _ => Err("`data` without bytes".into()),
            },
            _ => Err("`data` without bytes".into()),
        }
    }
}

/// Undoes how Python 3 writes bytes in protocol 2: as a string whose characters are the bytes.
fn latin1<'a>(text: &[u8]) -> Step<Object<'a>> {
    let text = std::str::from_utf8(text).map_err(|_| "a string that is not UTF-8")?;
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    Ok(Object::Bytes(bytes.ok_or("a string that is not latin1")?))
}

#[cfg(test)]
pub(super) mod tests;
