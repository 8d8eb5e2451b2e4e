//! Python pickles as data: a stack machine that records the contents of a pickle and calls nothing.
//!
//! A pickle is a program that may call any Python function. [`parse`] reads protocols 0 to 5 and turns every call into
//! an [`Object::Call`] with the function's name and arguments; readers interpret the calls that they know. Memory is
//! bounded by the pickle's length: an opcode pushes at most one value, and text is borrowed or unescaped once.

mod machine;
pub(crate) mod numpy;
mod text;

use std::borrow::Cow;

pub(crate) use machine::parse;

/// A value, cheap to copy: whatever can grow is an object of the [`Pickled`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A string (UTF-8, or the bytes of a Python 2 string) or bytes.
    Text(&'a [u8]),
    /// The number of an object.
    Object(usize),
}

/// What values refer to.
#[derive(Debug)]
pub(crate) enum Object<'a> {
    List(Vec<Value<'a>>),
    Tuple(Vec<Value<'a>>),
    Set(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// Text that was escaped in the pickle.
    Text(Vec<u8>),
    /// An integer beyond 64 bits.
    Long,
    /// A name that the unpickler would import, as `module.name`.
    Global(String),
    /// A call that the unpickler would make.
    Call(Box<Call<'a>>),
    /// A persistent id: what it stands for lies outside the pickle.
    Persistent(Value<'a>),
}

/// A call, and what the pickle does to its result.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) function: Value<'a>,
    /// A tuple.
    pub(crate) arguments: Value<'a>,
    /// What `__setstate__` or the attributes would get.
    pub(crate) state: Option<Value<'a>>,
    /// What would be appended or added.
    pub(crate) items: Vec<Value<'a>>,
    /// What would be set by key.
    pub(crate) entries: Vec<(Value<'a>, Value<'a>)>,
}

/// Longer strings are no keys and no names.
pub(crate) const MOST_TEXT: usize = 1 << 12;

/// A parsed pickle.
#[derive(Debug)]
pub(crate) struct Pickled<'a> {
    pub(crate) root: Value<'a>,
    pub(crate) objects: Vec<Object<'a>>,
    /// Bytes that the pickle takes.
    pub(crate) length: usize,
}

impl<'a> Pickled<'a> {
    pub(crate) fn object(&self, value: Value<'a>) -> Option<&Object<'a>> {
        match value {
            Value::Object(number) => self.objects.get(number),
            _ => None,
        }
    }

    pub(crate) fn tuple(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.object(value) {
            Some(Object::Tuple(items)) => Some(items),
            _ => None,
        }
    }

    /// The items of a list or tuple.
    pub(crate) fn sequence(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.object(value) {
            Some(Object::Tuple(items) | Object::List(items)) => Some(items),
            Some(Object::Call(_)) => match self.call(value)? {
                ("torch.Size", [inner]) => self.tuple(*inner),
                _ => None,
            },
            _ => None,
        }
    }

    /// The entries of a dictionary, also of an `OrderedDict` and the like.
    pub(crate) fn entries(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match self.object(value)? {
            Object::Dict(entries) => Some(entries),
            Object::Call(call) if !call.entries.is_empty() => Some(&call.entries),
            _ => None,
        }
    }

    /// The name that a value would import.
    pub(crate) fn global(&self, value: Value<'a>) -> Option<&str> {
        match self.object(value) {
            Some(Object::Global(name)) => Some(name),
            _ => None,
        }
    }

    /// A call's function and arguments.
    pub(crate) fn call(&self, value: Value<'a>) -> Option<(&str, &[Value<'a>])> {
        match self.object(value) {
            Some(Object::Call(call)) => Some((self.global(call.function)?, self.tuple(call.arguments)?)),
            _ => None,
        }
    }

    /// The bytes of a string or of bytes, however they are written: protocol 2 writes Python 3's bytes as a call of
    /// `_codecs.encode` on the string whose characters they are.
    pub(crate) fn bytes(&self, value: Value<'a>) -> Option<Cow<'_, [u8]>> {
        match (value, self.object(value)) {
            (Value::Text(bytes), _) => Some(bytes.into()),
            (_, Some(Object::Text(bytes))) => Some(bytes.into()),
            (_, Some(Object::Call(_))) => match self.call(value)? {
                ("_codecs.encode" | "builtins.bytearray" | "__builtin__.bytearray", [text, encoding])
                    if matches!(self.plain(*encoding)?, b"latin1" | b"latin-1") =>
                {
                    text::latin1(self.plain(*text)?)
                }
                ("builtins.bytearray" | "__builtin__.bytearray", [bytes]) => {
                    self.plain(*bytes).map(Cow::Borrowed)
                }
                (
                    "builtins.bytes" | "__builtin__.bytes" | "builtins.bytearray" | "__builtin__.bytearray",
                    [],
                ) => Some(Cow::Borrowed(&[])),
                _ => None,
            },
            _ => None,
        }
    }

    fn plain(&self, value: Value<'a>) -> Option<&[u8]> {
        match (value, self.object(value)) {
            (Value::Text(bytes), _) => Some(bytes),
            (_, Some(Object::Text(bytes))) => Some(bytes),
            _ => None,
        }
    }

    /// [`Self::bytes`], unless the pickle writes them in more than `most` bytes: the same long text may stand at
    /// millions of places, and is not to be copied for each.
    pub(crate) fn short_bytes(&self, value: Value<'a>, most: usize) -> Option<Cow<'_, [u8]>> {
        let written = match (self.plain(value), self.call(value)) {
            (Some(plain), _) => plain.len(),
            (None, Some((_, [text, ..]))) => self.plain(*text)?.len(),
            (None, _) => 0,
        };
        if written <= most { self.bytes(value) } else { None }
    }

    /// A string, if it is text of at most [`MOST_TEXT`] bytes.
    pub(crate) fn text(&self, value: Value<'a>) -> Option<String> {
        self.short_bytes(value, MOST_TEXT).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests;
