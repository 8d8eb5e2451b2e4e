//! numpy's arrays and scalars in pickles of any protocol.

use std::borrow::Cow;

use super::{Object, Pickled, Value};

/// An array of numbers.
#[derive(Debug)]
pub(crate) struct Array<'p> {
    pub(crate) shape: Vec<usize>,
    kind: Kind,
    /// Whether the first axis varies fastest.
    fortran: bool,
    data: Cow<'p, [u8]>,
}

/// An element's type: numpy's letter (`u`, `i`, `f`, `b`), its bytes and their order.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Kind {
    letter: u8,
    bytes: usize,
    big_endian: bool,
}

impl Array<'_> {
    /// Elements of the type that numpy calls `descr`, of `shape`, from their bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn new(descr: &str, fortran: bool, shape: Vec<usize>, data: Vec<u8>) -> Result<Self, String> {
        let kind = Kind::parse(descr.as_bytes()).ok_or_else(|| format!("elements of the type {descr}"))?;
        kind.array(shape, fortran, data.into())
    }

    /// The bytes in C order, of an array of unsigned bytes; `None` for other numbers.
    pub(crate) fn unsigned_bytes(self) -> Option<Vec<u8>> {
        if (self.kind.letter, self.kind.bytes) != (b'u', 1) {
            return None;
        }
        Some(match self.places() {
            None => self.data.into_owned(),
            Some(places) => places.map(|place| self.data[place]).collect(),
        })
    }

    /// The integers in C order; `None` for other numbers.
    pub(crate) fn integers(&self) -> Option<Vec<i64>> {
        if !matches!(self.kind.letter, b'u' | b'i' | b'b') {
            return None;
        }
        Some(self.elements().map(|element| self.kind.integer(element)).collect())
    }

    /// Bytes of the elements.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len()
    }

    /// Whether the elements are floating-point numbers.
    pub(crate) fn is_float(&self) -> bool {
        self.kind.letter == b'f'
    }

    /// The numbers in C order.
    pub(crate) fn floats(&self) -> Vec<f64> {
        self.elements().map(|element| self.kind.float(element)).collect()
    }

    fn elements(&self) -> impl Iterator<Item = &[u8]> {
        let size = self.kind.bytes;
        let count = self.data.len() / size;
        let places = self.places();
        let at: Box<dyn Iterator<Item = usize>> = match places {
            None => Box::new(0..count),
            Some(places) => Box::new(places),
        };
        at.map(move |place| &self.data[place * size..][..size])
    }

    /// Where the elements stand in Fortran order, by their C order; `None` where both are the same.
    fn places(&self) -> Option<impl Iterator<Item = usize> + use<>> {
        if !self.fortran || self.shape.len() < 2 {
            return None;
        }
        let shape = self.shape.clone();
        let count: usize = shape.iter().product();
        Some((0..count).map(move |mut index| {
            // The index's coordinates from the last axis on, each weighted by the axes before it.
            let mut place = 0;
            for axis in (0..shape.len()).rev() {
                place += index % shape[axis] * shape[..axis].iter().product::<usize>();
                index /= shape[axis];
            }
            place
        }))
    }
}

impl Kind {
    fn parse(text: &[u8]) -> Option<Self> {
        let (order, rest) = match text {
            [order @ (b'<' | b'>' | b'|' | b'='), rest @ ..] => (*order, rest),
            _ => (b'<', text),
        };
        let (&letter, digits) = rest.split_first()?;
        let bytes = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let known = match letter {
            b'u' | b'i' => matches!(bytes, 1 | 2 | 4 | 8),
            b'f' => matches!(bytes, 2 | 4 | 8),
            b'b' => bytes == 1,
            _ => false,
        };
        known.then_some(Self { letter, bytes, big_endian: order == b'>' })
    }

    fn array(self, shape: Vec<usize>, fortran: bool, data: Cow<'_, [u8]>) -> Result<Array<'_>, String> {
        let expected = shape.iter().try_fold(self.bytes, |n, size| n.checked_mul(*size));
        if expected != Some(data.len()) {
            return Err(format!("{} bytes for an array of shape {shape:?}", data.len()));
        }
        Ok(Array { shape, kind: self, fortran, data })
    }

    /// The element's bits, the least significant byte first.
    fn word(self, element: &[u8]) -> u64 {
        let next = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
        if self.big_endian { element.iter().fold(0, next) } else { element.iter().rev().fold(0, next) }
    }

    fn integer(self, element: &[u8]) -> i64 {
        let (word, unused) = (self.word(element), 64 - 8 * self.bytes as u32);
        if self.letter == b'i' { (word << unused) as i64 >> unused } else { word as i64 }
    }

    fn float(self, element: &[u8]) -> f64 {
        match (self.letter, self.bytes) {
            (b'f', 2) => half::f16::from_bits(self.word(element) as u16).to_f64(),
            (b'f', 4) => f32::from_bits(self.word(element) as u32).into(),
            (b'f', _) => f64::from_bits(self.word(element)),
            _ => self.integer(element) as f64,
        }
    }
}

impl<'a> Pickled<'a> {
    /// The numpy array that `value` is: `None` if it is none, an error if it is none of plain numbers.
    pub(crate) fn array(&self, value: Value<'a>) -> Option<Result<Array<'_>, String>> {
        self.array_within(value, usize::MAX)
    }

    /// [`Self::array`], an error also if its elements take more than `most` bytes.
    pub(crate) fn array_within(&self, value: Value<'a>, most: usize) -> Option<Result<Array<'_>, String>> {
        let (function, arguments) = self.call(value)?;
        // numpy 2 calls its module `numpy._core`.
        match (function.strip_prefix("numpy._").or(function.strip_prefix("numpy.")), arguments) {
            (Some("core.multiarray._reconstruct"), [class, ..]) => {
                if self.global(*class) != Some("numpy.ndarray") {
                    return None;
                }
                let Some(Object::Call(call)) = self.object(value) else { return None };
                let state = call.state.and_then(|state| self.tuple(state));
                let Some([_, shape, dtype, Value::Bool(fortran), data]) = state else {
                    return Some(Err("an array in another form than numpy's".into()));
                };
                Some(self.numbers(*shape, *dtype, *fortran, *data, most))
            }
            (Some("core.numeric._frombuffer"), [data, dtype, shape, order]) => {
                let fortran = self.short_bytes(*order, 8).is_some_and(|order| *order == *b"F");
                Some(self.numbers(*shape, *dtype, fortran, *data, most))
            }
            _ => None,
        }
    }

    fn numbers(
        &self,
        shape: Value<'a>,
        dtype: Value<'a>,
        fortran: bool,
        data: Value<'a>,
        most: usize,
    ) -> Result<Array<'_>, String> {
        let kind = self.kind(dtype).ok_or("an array of other things than numbers")?;
        let size = |size: &Value<'a>| match size {
            Value::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        };
        let shape: Option<Vec<usize>> = self.tuple(shape).and_then(|s| s.iter().map(size).collect());
        let shape = shape.ok_or("an array without a shape")?;
        let expected = shape.iter().try_fold(kind.bytes, |n, size| n.checked_mul(*size));
        let expected = expected.filter(|bytes| *bytes <= most).ok_or("an array of too many bytes")?;
        // A byte is written as at most two; what is longer is not decoded to find that out.
        let data = self.short_bytes(data, 2 * expected.min(usize::MAX / 2));
        kind.array(
            shape,
            fortran,
            data.ok_or("an array without bytes, or with other ones than its shape says")?,
        )
    }

    fn kind(&self, dtype: Value<'a>) -> Option<Kind> {
        let ("numpy.dtype", [text, ..]) = self.call(dtype)? else { return None };
        let mut kind = Kind::parse(&self.short_bytes(*text, 16)?)?;
        // The state's second field is the byte order.
        if let Some(Object::Call(call)) = self.object(dtype)
            && let Some([_, order, ..]) = call.state.and_then(|state| self.tuple(state))
        {
            kind.big_endian |= self.short_bytes(*order, 8).is_some_and(|order| *order == *b">");
        }
        Some(kind)
    }

    /// A number, also numpy's scalars.
    pub(crate) fn number(&self, value: Value<'a>) -> Option<f64> {
        match value {
            Value::Int(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => self.scalar(value).map(|(kind, bytes)| kind.float(&bytes)),
        }
    }

    /// An integer, also numpy's scalars.
    pub(crate) fn integer(&self, value: Value<'a>) -> Option<i64> {
        match value {
            Value::Int(number) => Some(number),
            _ => {
                let (kind, bytes) = self.scalar(value)?;
                (kind.letter != b'f').then(|| kind.integer(&bytes))
            }
        }
    }

    fn scalar(&self, value: Value<'a>) -> Option<(Kind, Cow<'_, [u8]>)> {
        let (function, [dtype, bytes]) = self.call(value)? else { return None };
        let kind = self.kind(*dtype)?;
        let bytes = self.short_bytes(*bytes, 16)?;
        (function.starts_with("numpy.")
            && function.ends_with("core.multiarray.scalar")
            && bytes.len() == kind.bytes)
            .then_some((kind, bytes))
    }
}
