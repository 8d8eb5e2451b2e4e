//! The protobuf wire format: reads and writes the fields of a message. It covers what TensorBoard's event files and
//! ONNX need; other programs read these files with complete implementations.

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// A message under construction; fields are written in the order of the calls.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn int(mut self, field: u64, value: u64) -> Self {
        self.key(field, VARINT);
        varint(&mut self.0, value);
        self
    }

    pub(crate) fn double(mut self, field: u64, value: f64) -> Self {
        self.key(field, FIXED64);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn float(mut self, field: u64, value: f32) -> Self {
        self.key(field, FIXED32);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.key(field, BYTES);
        varint(&mut self.0, value.len() as u64);
        self.0.extend(value);
        self
    }

    pub(crate) fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub(crate) fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    /// Fields as they stand in another message.
    pub(crate) fn raw(mut self, fields: &[u8]) -> Self {
        self.0.extend(fields);
        self
    }

    /// The fields of `more` behind these.
    pub(crate) fn append(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u64, wire: u64) {
        varint(&mut self.0, field << 3 | wire);
    }
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A field's value on the wire.
#[derive(Debug, PartialEq)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// Takes a field's number and value off the front of a message; none if it is malformed.
pub(crate) fn field<'a>(data: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let key = read_varint(data)?;
    let value = match key & 7 {
        VARINT => Wire::Varint(read_varint(data)?),
        FIXED64 => Wire::Fixed64(take(data, 8)?.try_into().ok()?),
        BYTES => {
            let length = read_varint(data)?.try_into().ok()?;
            Wire::Bytes(take(data, length)?)
        }
        FIXED32 => Wire::Fixed32(take(data, 4)?.try_into().ok()?),
        _ => return None,
    };
    Some((key >> 3, value))
}

fn take<'a>(data: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = data.split_at_checked(length)?;
    *data = rest;
    Some(taken)
}

fn read_varint(data: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(data, 1)?[0];
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// A field of a message.
pub(crate) struct Part<'a> {
    pub(crate) number: u64,
    pub(crate) value: Wire<'a>,
    /// Its bytes, key included.
    pub(crate) raw: &'a [u8],
}

/// Fields of one message, at most: a message of empty fields must not cost many times its size in memory.
const MOST_PARTS: usize = 1 << 20;

/// The fields of a message; none if it is malformed, or has more than a million.
pub(crate) fn parts(mut data: &[u8]) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    while !data.is_empty() {
        if parts.len() == MOST_PARTS {
            return None;
        }
        let before = data;
        let (number, value) = field(&mut data)?;
        parts.push(Part { number, value, raw: &before[..before.len() - data.len()] });
    }
    Some(parts)
}

/// The messages, texts or bytes of one field.
pub(crate) fn messages<'a>(parts: &[Part<'a>], number: u64) -> impl Iterator<Item = &'a [u8]> {
    parts.iter().filter(move |part| part.number == number).filter_map(|part| match part.value {
        Wire::Bytes(bytes) => Some(bytes),
        _ => None,
    })
}

/// The text of a field, the last if it is there several times.
pub(crate) fn text<'a>(parts: &[Part<'a>], number: u64) -> Option<&'a str> {
    std::str::from_utf8(messages(parts, number).last()?).ok()
}

/// The integer of a field, the last if it is there several times.
pub(crate) fn int(parts: &[Part<'_>], number: u64) -> Option<u64> {
    let value = |part: &Part<'_>| match part.value {
        Wire::Varint(value) if part.number == number => Some(value),
        _ => None,
    };
    parts.iter().rev().find_map(value)
}

/// The integers of a repeated field, packed or not; none if they are malformed.
pub(crate) fn ints(parts: &[Part<'_>], number: u64) -> Option<Vec<u64>> {
    let mut all = Vec::new();
    for part in parts.iter().filter(|part| part.number == number) {
        match part.value {
            Wire::Varint(value) => all.push(value),
            Wire::Bytes(mut packed) => {
                while !packed.is_empty() {
                    all.push(read_varint(&mut packed)?);
                }
            }
            Wire::Fixed64(_) | Wire::Fixed32(_) => return None,
        }
    }
    Some(all)
}
