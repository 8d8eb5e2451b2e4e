//! The few protobuf fields of an `Event` that scalars need.
//!
//! Event: wall_time = 1 (double), step = 2 (int64), file_version = 3 (string), summary = 5 (Summary).
//! Summary: value = 1 (repeated Value). Value: tag = 1 (string), simple_value = 2 (float).

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// A parsed event.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Event {
    pub(super) wall_time: f64,
    pub(super) step: u64,
    pub(super) version: Option<String>,
    pub(super) values: Vec<(String, f32)>,
}

/// The event that starts a file.
pub(super) fn version(wall_time: f64, version: &str) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, FIXED64);
    event.extend(wall_time.to_le_bytes());
    bytes(&mut event, 3, version.as_bytes());
    event
}

/// An event with values at a step.
pub(super) fn scalars(wall_time: f64, step: u64, values: &[(&str, f32)]) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, FIXED64);
    event.extend(wall_time.to_le_bytes());
    key(&mut event, 2, VARINT);
    varint(&mut event, step);
    let mut summary = Vec::new();
    for (tag, number) in values {
        let mut value = Vec::new();
        bytes(&mut value, 1, tag.as_bytes());
        key(&mut value, 2, FIXED32);
        value.extend(number.to_le_bytes());
        bytes(&mut summary, 1, &value);
    }
    bytes(&mut event, 5, &summary);
    event
}

fn key(out: &mut Vec<u8>, field: u64, wire: u64) {
    varint(out, field << 3 | wire);
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn bytes(out: &mut Vec<u8>, field: u64, data: &[u8]) {
    key(out, field, BYTES);
    varint(out, data.len() as u64);
    out.extend(data);
}

/// A field's value on the wire.
enum Wire<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// Reads an event, passing over fields it does not know; none if it is malformed.
pub(super) fn parse(mut data: &[u8]) -> Option<Event> {
    let mut event = Event::default();
    while !data.is_empty() {
        match field(&mut data)? {
            (1, Wire::Fixed64(time)) => event.wall_time = f64::from_le_bytes(time),
            (2, Wire::Varint(step)) => event.step = step,
            (3, Wire::Bytes(version)) => event.version = Some(text(version)?),
            (5, Wire::Bytes(mut summary)) => {
                while !summary.is_empty() {
                    if let (1, Wire::Bytes(value)) = field(&mut summary)? {
                        event.values.extend(scalar(value)?);
                    }
                }
            }
            _ => {}
        }
    }
    Some(event)
}

/// A tag with its number; the inner option is empty for values that are no plain numbers.
fn scalar(mut data: &[u8]) -> Option<Option<(String, f32)>> {
    let (mut tag, mut number) = (String::new(), None);
    while !data.is_empty() {
        match field(&mut data)? {
            (1, Wire::Bytes(name)) => tag = text(name)?,
            (2, Wire::Fixed32(bits)) => number = Some(f32::from_le_bytes(bits)),
            _ => {}
        }
    }
    Some(number.map(|number| (tag, number)))
}

fn text(data: &[u8]) -> Option<String> {
    String::from_utf8(data.to_vec()).ok()
}

fn field<'a>(data: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
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
