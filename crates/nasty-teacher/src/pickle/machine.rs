//! The opcodes.

use std::collections::HashMap;

use super::text::{quoted, unicode};
use super::{Call, Object, Pickled, Value};

type Step<T> = Result<T, String>;

/// Reads the pickle that `bytes` begins with, in at most `most` opcodes.
///
/// # Errors
/// What was found instead of a pickle.
pub(crate) fn parse(bytes: &[u8], most: usize) -> Step<Pickled<'_>> {
    let names_left = 4 * bytes.len() + (1 << 16);
    let mut machine = Machine { rest: bytes, names_left, ..Machine::default() };
    for step in 0..most {
        let root = machine.step().map_err(|found| match (step, bytes.first()) {
            (0, Some(0x80)) => found,
            (0, _) => "no pickle".to_owned(),
            _ => found,
        })?;
        if let Some(root) = root {
            let length = bytes.len() - machine.rest.len();
            return Ok(Pickled { root, objects: machine.objects, length });
        }
    }
    Err(format!("more than {most} opcodes"))
}

#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value<'a>>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    objects: Vec<Object<'a>>,
    memo: HashMap<u64, Value<'a>>,
    /// Bytes that names made of remembered text may still take.
    names_left: usize,
}

impl<'a> Machine<'a> {
    /// One opcode; the root at the last one.
    fn step(&mut self) -> Step<Option<Value<'a>>> {
        let opcode = self.take(1)?[0];
        match opcode {
            b'.' => return self.pop().map(Some),
            0x80 => match self.take(1)?[0] {
                0..=5 => {}
                other => return Err(format!("a pickle of protocol {other}")),
            },
            // A frame's length: frames only help to read ahead.
            0x95 => {
                self.take(8)?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                // CPython lets this opcode remove a mark as well.
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => {
                self.pop_to_mark()?;
            }
            b'2' => self.stack.push(self.top()?),
            b'N' => self.stack.push(Value::None),
            0x88 | 0x89 => self.stack.push(Value::Bool(opcode == 0x88)),
            b'I' | b'L' | b'F' => self.written_number(opcode)?,
            b'K' => self.number(1)?,
            b'M' => self.number(2)?,
            b'J' => {
                let bytes = self.take(4)?.try_into().expect("4 bytes");
                self.stack.push(Value::Int(i32::from_le_bytes(bytes).into()));
            }
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'G' => {
                let bytes = self.take(8)?.try_into().expect("8 bytes");
                self.stack.push(Value::Float(f64::from_be_bytes(bytes)));
            }
            b'U' | b'C' | 0x8c => self.text(1)?,
            b'T' | b'X' | b'B' => self.text(4)?,
            0x8d | 0x8e | 0x96 => self.text(8)?,
            b'S' => {
                let text = quoted(self.line()?)?;
                self.keep(Object::Text(text));
            }
            b'V' => {
                let text = unicode(self.line()?)?;
                self.keep(Object::Text(text));
            }
            b'}' => self.keep(Object::Dict(Vec::new())),
            b']' => self.keep(Object::List(Vec::new())),
            b')' => self.keep(Object::Tuple(Vec::new())),
            0x8f => self.keep(Object::Set(Vec::new())),
            b't' | b'l' | b'd' | 0x91 => {
                let items = self.pop_to_mark()?;
                let object = match opcode {
                    b't' => Object::Tuple(items),
                    b'l' => Object::List(items),
                    b'd' => Object::Dict(pairs(&items)?),
                    _ => Object::Set(items),
                };
                self.keep(object);
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode) - 0x84)?;
                self.keep(Object::Tuple(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let pair = self.pop_many(2)?;
                self.insert(&pair)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.insert(&items)?;
            }
            b'p' | b'g' => {
                let line = self.line()?;
                let place = std::str::from_utf8(line).ok().and_then(|line| line.trim().parse().ok());
                let place = place.ok_or("a place in the memo that is no number")?;
                self.memo(opcode == b'p', place)?;
            }
            b'q' | b'r' | b'h' | b'j' => {
                let place = self.unsigned(if matches!(opcode, b'q' | b'h') { 1 } else { 4 })?;
                self.memo(matches!(opcode, b'q' | b'r'), place)?;
            }
            0x94 => self.memo(true, self.memo.len() as u64)?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                let global = global(module, name);
                self.keep(global);
            }
            0x93 => {
                let parts = self.pop_many(2)?;
                let part = |machine: &Self, value: Value<'a>| match value {
                    Value::Text(text) => Ok(text.to_vec()),
                    Value::Object(number) => match &machine.objects[number] {
                        Object::Text(text) => Ok(text.clone()),
                        _ => Err("a name that is no text"),
                    },
                    _ => Err("a name that is no text"),
                };
                let (module, name) = (part(self, parts[0])?, part(self, parts[1])?);
                // The memo must not be able to multiply long names.
                let left = self.names_left.checked_sub(module.len() + name.len());
                self.names_left = left.ok_or("names far longer than the pickle")?;
                self.keep(global(&module, &name));
            }
            b'R' | 0x81 => {
                let parts = self.pop_many(2)?;
                self.call(parts[0], parts[1])?;
            }
            0x92 => {
                let parts = self.pop_many(3)?;
                self.keep(Object::Tuple(vec![parts[1], parts[2]]));
                let arguments = self.pop()?;
                self.call(parts[0], arguments)?;
            }
            b'o' => {
                let mut items = self.pop_to_mark()?;
                if items.is_empty() {
                    return Err("an object without a class".into());
                }
                let class = items.remove(0);
                self.keep(Object::Tuple(items));
                let arguments = self.pop()?;
                self.call(class, arguments)?;
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                let items = self.pop_to_mark()?;
                self.keep(global(module, name));
                self.keep(Object::Tuple(items));
                let parts = self.pop_many(2)?;
                self.call(parts[0], parts[1])?;
            }
            b'b' => {
                let state = self.pop()?;
                match self.top_object()? {
                    Object::Call(call) => call.state = Some(state),
                    _ => return Err("a state for something that has none".into()),
                }
            }
            b'P' => {
                let line = self.line()?;
                self.keep(Object::Persistent(Value::Text(line)));
            }
            b'Q' => {
                let id = self.pop()?;
                self.keep(Object::Persistent(id));
            }
            0x98 => {}
            other => return Err(format!("the opcode {other:#04x}")),
        }
        Ok(None)
    }

    fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("its end too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn line(&mut self) -> Step<&'a [u8]> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or("its end too early")?;
        Ok(&self.take(end + 1)?[..end])
    }

    /// An unsigned little-endian number of at most 8 bytes.
    fn unsigned(&mut self, bytes: usize) -> Step<u64> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn number(&mut self, bytes: usize) -> Step<()> {
        let number = self.unsigned(bytes)? as i64;
        self.stack.push(Value::Int(number));
        Ok(())
    }

    /// A two's-complement number of any length.
    fn long(&mut self, length_bytes: usize) -> Step<()> {
        let length = self.unsigned(length_bytes)? as usize;
        let bytes = self.take(length)?;
        if length > 8 {
            self.keep(Object::Long);
            return Ok(());
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut word = [if negative { 0xff } else { 0 }; 8];
        word[..length].copy_from_slice(bytes);
        self.stack.push(Value::Int(i64::from_le_bytes(word)));
        Ok(())
    }

    /// A number in decimal digits.
    fn written_number(&mut self, opcode: u8) -> Step<()> {
        let line = std::str::from_utf8(self.line()?).map_err(|_| "a number that is none")?.trim();
        let value = match (opcode, line) {
            (b'I', "00") => Value::Bool(false),
            (b'I', "01") => Value::Bool(true),
            (b'F', _) => Value::Float(line.parse().map_err(|_| "a number that is none")?),
            _ => {
                let digits = line.trim_end_matches('L');
                match digits.parse() {
                    Ok(number) => Value::Int(number),
                    Err(_)
                        if !digits.is_empty()
                            && digits.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()) =>
                    {
                        self.keep(Object::Long);
                        return Ok(());
                    }
                    Err(_) => return Err("a number that is none".into()),
                }
            }
        };
        self.stack.push(value);
        Ok(())
    }

    fn text(&mut self, length_bytes: usize) -> Step<()> {
        let length = usize::try_from(self.unsigned(length_bytes)?).map_err(|_| "its end too early")?;
        let text = self.take(length)?;
        self.stack.push(Value::Text(text));
        Ok(())
    }

    fn keep(&mut self, object: Object<'a>) {
        self.stack.push(Value::Object(self.objects.len()));
        self.objects.push(object);
    }

    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Step<Value<'a>> {
        if self.stack.len() <= self.floor() {
            return Err("an empty stack".into());
        }
        self.stack.pop().ok_or_else(|| "an empty stack".into())
    }

    fn pop_many(&mut self, count: usize) -> Step<Vec<Value<'a>>> {
        let from = self.stack.len().checked_sub(count).filter(|from| *from >= self.floor());
        Ok(self.stack.split_off(from.ok_or("an empty stack")?))
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Value<'a>>> {
        let mark = self.marks.pop().ok_or("no mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Step<Value<'a>> {
        if self.stack.len() <= self.floor() {
            return Err("an empty stack".into());
        }
        Ok(self.stack[self.stack.len() - 1])
    }

    fn top_object(&mut self) -> Step<&mut Object<'a>> {
        match self.top()? {
            Value::Object(number) => Ok(&mut self.objects[number]),
            _ => Err("an item without a list or dict".into()),
        }
    }

    fn memo(&mut self, put: bool, place: u64) -> Step<()> {
        if put {
            let top = self.top()?;
            self.memo.insert(place, top);
        } else {
            let value = *self.memo.get(&place).ok_or("a reference to nothing")?;
            self.stack.push(value);
        }
        Ok(())
    }

    fn append(&mut self, items: Vec<Value<'a>>) -> Step<()> {
        match self.top_object()? {
            Object::List(list) | Object::Set(list) => list.extend(items),
            Object::Call(call) => call.items.extend(items),
            _ => return Err("an item without a list".into()),
        }
        Ok(())
    }

    fn insert(&mut self, items: &[Value<'a>]) -> Step<()> {
        let pairs = pairs(items)?;
        match self.top_object()? {
            Object::Dict(dict) => dict.extend(pairs),
            Object::Call(call) => call.entries.extend(pairs),
            _ => return Err("a key without a dict".into()),
        }
        Ok(())
    }

    fn call(&mut self, function: Value<'a>, arguments: Value<'a>) -> Step<()> {
        if !matches!(arguments, Value::Object(n) if matches!(self.objects[n], Object::Tuple(_))) {
            return Err("no tuple where one belongs".into());
        }
        let call = Call { function, arguments, state: None, items: Vec::new(), entries: Vec::new() };
        self.keep(Object::Call(Box::new(call)));
        Ok(())
    }
}

fn global<'a>(module: &[u8], name: &[u8]) -> Object<'a> {
    let (module, name) = (String::from_utf8_lossy(module), String::from_utf8_lossy(name));
    Object::Global(format!("{}.{}", module.trim_end_matches('\r'), name.trim_end_matches('\r')))
}

fn pairs<'a>(items: &[Value<'a>]) -> Step<Vec<(Value<'a>, Value<'a>)>> {
    let (pairs, []) = items.as_chunks::<2>() else { return Err("a key without a value".into()) };
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}
