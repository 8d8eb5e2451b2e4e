//! A graph's answers to test patterns, before anybody relies on it.

use super::asked::Graph;
use super::session::Failure;
use crate::random::{Purpose, Stream};

/// Classes, at most.
const MOST_CLASSES: usize = 65_535;
/// Test patterns.
const PATTERNS: usize = 8;
/// Sides that are tried where the graph takes any.
const SIDES: [usize; 4] = [32, 224, 64, 28];
/// Answers to an image alone and in company may differ by so much of the largest number.
const TOLERANCE: f32 = 1e-3;
/// How far from 1 a row of probabilities may sum.
const OFF_ONE: f32 = 1e-3;

/// What was found.
pub(super) struct Tried {
    pub(super) classes: usize,
    /// Why the answers are no probabilities; none if they may be.
    pub(super) no_probabilities: Option<String>,
    pub(super) notes: Vec<String>,
}

/// Asks `graph` about test patterns; a graph that answers several images otherwise than one is asked about one at a time from
/// here on.
///
/// # Errors
/// Why it cannot be used, as a sentence.
pub(super) fn try_out(graph: &mut Graph) -> Result<Tried, String> {
    let (side, one) = first(graph)?;
    let classes = one.len();
    if !(2..=MOST_CLASSES).contains(&classes) {
        return Err(format!("expected 2 to {MOST_CLASSES} classes, found {classes}"));
    }
    let patterns = patterns(side, graph.encoding.channel_count());
    let alone = |graph: &Graph| -> Result<Vec<Vec<f32>>, Failure> {
        patterns.iter().map(|image| graph.rows(std::slice::from_ref(image), side)).collect()
    };
    let rows = alone(graph)?;
    let mut notes = Vec::new();
    if graph.batch.is_none() {
        let together = graph.rows(&patterns, side);
        let most = rows.concat().iter().fold(0.0f32, |most, v| most.max(v.abs()));
        let same = |all: &Vec<f32>| {
            all.len() == PATTERNS * classes
                && all.iter().zip(rows.concat()).all(|(a, b)| (a - b).abs() <= TOLERANCE * most)
        };
        if !together.as_ref().is_ok_and(same) {
            graph.batch = Some(1);
            let why = together.map_or_else(String::from, |_| "several at once get other answers".to_owned());
            notes.push(format!("it is asked about one image at a time: {why}"));
        }
    }
    let again = graph.rows(&patterns[..1], side)?;
    let most = rows[0].iter().fold(0.0f32, |most, v| most.max(v.abs()));
    if again.iter().zip(&rows[0]).any(|(a, b)| (a - b).abs() > TOLERANCE * most) {
        notes.push("its answers to the same image differ: it draws random numbers".to_owned());
    }
    if let Some(found) = rows.iter().flatten().find(|v| !v.is_finite()) {
        return Err(format!("its answer to a test pattern has {found}: expected finite numbers"));
    }
    if rows.iter().all(|row| row.len() == classes && *row == rows[0]) {
        notes.push(format!("its answers to {PATTERNS} different test patterns are all the same"));
    }
    let sums = rows.iter().map(|row| row.iter().sum::<f32>());
    let off = sums.into_iter().find(|sum| (sum - 1.0).abs() > OFF_ONE);
    let negative = rows.iter().flatten().find(|v| **v < 0.0);
    let no_probabilities = negative
        .map(|v| format!("there is {v} among them"))
        .or_else(|| off.map(|sum| format!("a row sums to {sum}")));
    Ok(Tried { classes, no_probabilities, notes })
}

/// A side that the graph takes, and an answer.
fn first(graph: &Graph) -> Result<(usize, Vec<f32>), String> {
    let sides = graph.encoding.side.map_or(SIDES.to_vec(), |side| vec![side]);
    let mut refused = String::new();
    for side in sides {
        let pattern = patterns(side, graph.encoding.channel_count()).remove(0);
        match graph.rows(&[pattern], side) {
            Ok(row) => return Ok((side, row)),
            Err(why) => {
                refused = format!("the runtime cannot compute it for an image of side {side}: {why}");
                // Each larger image would take as much time or memory again.
                if matches!(why, Failure::Ended { .. }) {
                    break;
                }
            }
        }
    }
    Err(refused)
}

/// Noise, uniform colours and stripes `[side, side, channels]`.
fn patterns(side: usize, channels: usize) -> Vec<Vec<u8>> {
    let mut stream = Stream::new(0, Purpose::Noise, side as u64, channels as u64);
    let mut byte = move || (stream.bits() >> 24) as u8;
    let size = side * side * channels;
    (0..PATTERNS)
        .map(|pattern| match pattern {
            0..4 => (0..size).map(|_| byte()).collect(),
            4 => vec![0; size],
            5 => vec![255; size],
            _ => (0..size)
                .map(|i| if (i / channels / (pattern + 1)).is_multiple_of(2) { 230 } else { 20 })
                .collect(),
        })
        .collect()
}
