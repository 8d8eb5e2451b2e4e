//! What this program and the process that computes a graph say to each other, over the process's standard input and output: frames
//! of a byte that says what it is, the length as eight bytes, little-endian, and the contents.

use super::session::{Load, Numbers};
use std::io::{self, Read, Write};

/// A model to load.
pub(super) const LOAD: u8 = 1;
/// Numbers for the loaded model.
pub(super) const RUN: u8 = 2;
/// The answer: the name of what computes the model, or numbers.
pub(super) const DONE: u8 = 3;
/// The answer: why not, as a sentence.
pub(super) const REFUSED: u8 = 4;
/// Contents of a frame, at most.
const LONGEST: u64 = 4 << 30;

/// The contents of a [`LOAD`].
pub(super) fn load_packed(load: &Load<'_>) -> Vec<u8> {
    let name = |name: &str| [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
    let names = [load.input, load.output, load.library.unwrap_or_default()].map(name).concat();
    [&[u8::from(load.bytes)][..], &names, load.model].concat()
}

pub(super) fn load_unpacked(contents: &[u8]) -> Option<Load<'_>> {
    let (bytes, mut rest) = contents.split_first()?;
    let mut name = || {
        let (length, tail) = rest.split_first_chunk()?;
        let (name, tail) = tail.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        rest = tail;
        std::str::from_utf8(name).ok()
    };
    let (input, output, library) = (name()?, name()?, name()?);
    let library = Some(library).filter(|library| !library.is_empty());
    Some(Load { input, bytes: *bytes == 1, output, library, model: rest })
}

pub(super) fn packed(numbers: &Numbers) -> Vec<u8> {
    let head = std::iter::once(numbers.shape.len()).chain(numbers.shape.iter().copied());
    let mut bytes: Vec<u8> = head.flat_map(|n| (n as u64).to_le_bytes()).collect();
    bytes.extend(numbers.values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

pub(super) fn unpacked(bytes: &[u8]) -> Option<Numbers> {
    let (rank, rest) = bytes.split_first_chunk::<8>()?;
    let rank = usize::try_from(u64::from_le_bytes(*rank)).ok().filter(|rank| *rank <= 16)?;
    let (shape, values) = rest.split_at_checked(8 * rank)?;
    let shape: Vec<usize> = shape
        .as_chunks::<8>()
        .0
        .iter()
        .map(|n| usize::try_from(u64::from_le_bytes(*n)).ok())
        .collect::<Option<_>>()?;
    let (values, odd) = values.as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|v| f32::from_le_bytes(*v)).collect();
    let count = shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side))?;
    (odd.is_empty() && count == values.len()).then_some(Numbers { shape, values })
}

pub(super) fn write(to: &mut impl Write, kind: u8, contents: &[u8]) -> io::Result<()> {
    to.write_all(&[kind])?;
    to.write_all(&(contents.len() as u64).to_le_bytes())?;
    to.write_all(contents)?;
    to.flush()
}

pub(super) fn read(from: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    from.read_exact(&mut head)?;
    let length = u64::from_le_bytes(head[1..].try_into().expect("eight bytes"));
    if length > LONGEST {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    let mut contents = Vec::new();
    // Grows with what comes, not with what is announced.
    from.take(length).read_to_end(&mut contents)?;
    if contents.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((head[0], contents))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Frames that load `model`, run it, and ask for nonsense.
    pub(in super::super) fn conversation(model: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let frame = |kind, contents: &[u8]| {
            let mut bytes = Vec::new();
            write(&mut bytes, kind, contents).expect("memory");
            bytes
        };
        let load = Load { input: "input", bytes: false, output: "output", library: None, model };
        let input = Numbers { shape: vec![1, 3, 2, 2], values: vec![1.0; 12] };
        (frame(LOAD, &load_packed(&load)), frame(RUN, &packed(&input)), frame(RUN, &[7; 3]))
    }

    #[test]
    fn what_is_sent_comes_back_and_what_is_damaged_does_not() {
        let numbers = Numbers { shape: vec![2, 1], values: vec![0.5, -3.0] };
        let bytes = packed(&numbers);
        assert_eq!(unpacked(&bytes), Some(numbers));
        for end in 0..bytes.len() {
            assert_eq!(unpacked(&bytes[..end]), None);
        }
        assert_eq!(unpacked(&[&3u64.to_le_bytes()[..], &[255; 24]].concat()), None);

        let load = Load { input: "x", bytes: true, output: "yz", library: Some("/lib"), model: b"model" };
        let bytes = load_packed(&load);
        assert_eq!(load_unpacked(&bytes), Some(load));
        for end in 0..bytes.len() - b"model".len() {
            assert_eq!(load_unpacked(&bytes[..end]), None);
        }
    }
}
