//! One tensor of a file: its name and shape at once, its values on request.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use half::{bf16, f16};

use super::archive::Archive;

/// One tensor of a file, its values not yet read.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Its path through the file's dictionaries, joined by dots.
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// The type of its elements, if they are floating-point numbers.
    pub(super) element: Option<Element>,
    pub(super) values: Values,
}

/// Where a tensor's values are.
#[derive(Clone, Debug)]
pub(super) enum Values {
    /// All of them, in row-major order.
    Bytes(Arc<Vec<u8>>),
    /// A part of a storage, from `offset` on with these `strides`, in elements.
    View { storage: Arc<Storage>, offset: usize, strides: Vec<usize> },
    /// They cannot be had; why.
    Broken(String),
}

/// Bytes that tensors share.
#[derive(Debug)]
pub(super) struct Storage {
    source: Source,
    big_endian: bool,
    loaded: OnceLock<Result<Vec<u8>, String>>,
}

#[derive(Debug)]
enum Source {
    Part { file: Arc<Vec<u8>>, range: Range<usize> },
    Entry { archive: Arc<Archive>, index: usize },
    Missing,
}

impl Storage {
    fn new(source: Source, big_endian: bool) -> Arc<Self> {
        Arc::new(Self { source, big_endian, loaded: OnceLock::new() })
    }

    pub(super) fn part(file: &Arc<Vec<u8>>, range: Range<usize>) -> Arc<Self> {
        Self::new(Source::Part { file: file.clone(), range }, false)
    }

    pub(super) fn entry(archive: &Arc<Archive>, index: usize, big_endian: bool) -> Arc<Self> {
        Self::new(Source::Entry { archive: archive.clone(), index }, big_endian)
    }

    pub(super) fn missing() -> Arc<Self> {
        Self::new(Source::Missing, false)
    }

    fn bytes(&self) -> Result<&[u8], String> {
        match &self.source {
            Source::Part { file, range } => Ok(&file[range.clone()]),
            Source::Missing => Err("its storage is not in the file".into()),
            Source::Entry { archive, index } => {
                let loaded = self.loaded.get_or_init(|| archive.read(*index));
                loaded.as_deref().map_err(Clone::clone)
            }
        }
    }
}

/// Types of elements that weights have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Element {
    F16,
    Bf16,
    F32,
    F64,
}

impl Element {
    fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    fn value(self, bytes: &[u8]) -> f32 {
        let fits = "a chunk has the element's size";
        match self {
            Self::F16 => f16::from_le_bytes(bytes.try_into().expect(fits)).to_f32(),
            Self::Bf16 => bf16::from_le_bytes(bytes.try_into().expect(fits)).to_f32(),
            Self::F32 => f32::from_le_bytes(bytes.try_into().expect(fits)),
            Self::F64 => f64::from_le_bytes(bytes.try_into().expect(fits)) as f32,
        }
    }
}

impl Stored {
    /// Whether the elements are floating-point numbers.
    pub(super) fn is_float(&self) -> bool {
        self.element.is_some()
    }

    /// Bytes of the values, if the shape is to be believed.
    pub(super) fn claimed(&self) -> u128 {
        let size = self.element.map_or(1, Element::bytes) as u128;
        self.shape.iter().fold(size, |product, &axis| product.saturating_mul(axis as u128))
    }

    /// Whether both are the same numbers in the file, not merely equal ones.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let place = |tensor: &Self| match &tensor.values {
            Values::View { storage, offset, strides } => {
                Some((Arc::as_ptr(storage).cast::<()>(), *offset, strides.clone()))
            }
            Values::Bytes(bytes) => Some((Arc::as_ptr(bytes).cast(), 0, Vec::new())),
            Values::Broken(_) => None,
        };
        self.shape == other.shape && place(self).is_some_and(|one| place(other) == Some(one))
    }

    /// The values in row-major order.
    pub(super) fn values(&self) -> Result<Vec<f32>, String> {
        let wrong = |problem: &str| format!("`{}`: {problem}", self.name);
        let element = self.element.ok_or_else(|| wrong("it is not of a floating-point type"))?;
        let size = element.bytes();
        let (bytes, offset, strides, big_endian) = match &self.values {
            Values::Broken(problem) => return Err(wrong(problem)),
            Values::Bytes(bytes) => return Ok(bytes.chunks_exact(size).map(|b| element.value(b)).collect()),
            Values::View { storage, offset, strides } => {
                (storage.bytes().map_err(|e| wrong(&e))?, *offset, strides, storage.big_endian)
            }
        };
        // The place of the last element must lie in the storage; then so do all others.
        let outside = || wrong("it lies outside its storage");
        let last = |place: usize, (axis, stride): (&usize, &usize)| {
            place.checked_add((axis - 1).checked_mul(*stride)?)
        };
        let count: usize = self.shape.iter().product();
        if count == 0 {
            return Ok(Vec::new());
        }
        let end = self.shape.iter().zip(strides).try_fold(offset, last).ok_or_else(outside)?;
        if end >= bytes.len() / size {
            return Err(outside());
        }
        let value = |place: usize| {
            let bytes = &bytes[place * size..][..size];
            if big_endian {
                let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
                return element.value(&reversed);
            }
            element.value(bytes)
        };
        let mut out = Vec::with_capacity(count);
        gather(&self.shape, strides, offset, &mut |place| out.push(value(place)));
        Ok(out)
    }
}

/// Every place of a strided array in row-major order.
fn gather(shape: &[usize], strides: &[usize], from: usize, each: &mut impl FnMut(usize)) {
    match (shape, strides) {
        ([axis, shape @ ..], [stride, strides @ ..]) => {
            (0..*axis).for_each(|i| gather(shape, strides, from + i * stride, each));
        }
        _ => each(from),
    }
}
