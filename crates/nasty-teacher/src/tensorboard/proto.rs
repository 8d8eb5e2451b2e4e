//! The few protobuf fields of an `Event` that scalars need.
//!
//! Event: wall_time = 1 (double), step = 2 (int64), file_version = 3 (string), summary = 5 (Summary).
//! Summary: value = 1 (repeated Value). Value: tag = 1 (string), simple_value = 2 (float).

use crate::protobuf::{Message, Wire, field};

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
    Message::default().double(1, wall_time).text(3, version).into_bytes()
}

/// An event with values at a step.
pub(super) fn scalars(wall_time: f64, step: u64, values: &[(&str, f32)]) -> Vec<u8> {
    let value = |(tag, number): &(&str, f32)| Message::default().text(1, tag).float(2, *number);
    let summary = values.iter().fold(Message::default(), |summary, v| summary.message(1, &value(v)));
    Message::default().double(1, wall_time).int(2, step).message(5, &summary).into_bytes()
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
