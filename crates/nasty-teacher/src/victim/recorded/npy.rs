//! numpy's `.npy` arrays: magic, version, a Python dictionary as header, little-endian elements in C order
//! (numpy.lib.format, versions 1 to 3).

/// An array of a file.
pub(super) struct Array {
    /// Sizes, outermost first.
    pub(super) shape: Vec<usize>,
    kind: Kind,
    bytes: Vec<u8>,
}

/// Element types that are read.
#[derive(Clone, Copy)]
enum Kind {
    F32,
    F64,
    U(usize),
    I(usize),
}

impl Kind {
    fn of(descr: &str) -> Option<Self> {
        Some(match descr {
            "<f4" => Self::F32,
            "<f8" => Self::F64,
            "|u1" | "<u2" | "<u4" | "<u8" => Self::U(usize::from(descr.as_bytes()[2] - b'0')),
            "|i1" | "<i2" | "<i4" | "<i8" => Self::I(usize::from(descr.as_bytes()[2] - b'0')),
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
            Self::U(bytes) | Self::I(bytes) => bytes,
        }
    }
}

impl Array {
    /// The array in a whole `.npy` file, or what is wrong with it.
    pub(super) fn parse(file: &[u8]) -> Result<Self, String> {
        let cut = || "a file that is cut off".to_owned();
        let rest = file.strip_prefix(b"\x93NUMPY").ok_or("a file without numpy's magic")?;
        let (version, rest) = rest.split_at_checked(2).ok_or_else(cut)?;
        let (length, rest) = match version[0] {
            1 => rest.split_first_chunk().map(|(n, rest)| (usize::from(u16::from_le_bytes(*n)), rest)),
            2 | 3 => rest.split_first_chunk().map(|(n, rest)| (u32::from_le_bytes(*n) as usize, rest)),
            other => return Err(format!("version {other} of the npy format; 1 to 3 are read")),
        }
        .ok_or_else(cut)?;
        let (header, data) = rest.split_at_checked(length).ok_or_else(cut)?;
        let header = std::str::from_utf8(header).map_err(|_| "a header that is not text")?;
        let descr = text(header, "descr").ok_or("a header without a plain `descr`")?;
        let kind = Kind::of(descr).ok_or_else(|| {
            format!("elements of type {descr}; f32, f64 and integers, little-endian, are read")
        })?;
        match value(header, "fortran_order").map(|v| v.starts_with("False")) {
            Some(true) => {}
            Some(false) => {
                return Err("an array in Fortran order; save numpy.ascontiguousarray(array)".into());
            }
            None => return Err("a header without `fortran_order`".into()),
        }
        let shape = shape(header).ok_or("a header without a plain `shape`")?;
        let elements = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
        let expected = elements.and_then(|n| n.checked_mul(kind.bytes()));
        if expected != Some(data.len()) {
            return Err(format!("{} bytes of data for an array of shape {shape:?} of {descr}", data.len()));
        }
        Ok(Self { shape, kind, bytes: data.to_vec() })
    }

    /// The elements as floating-point numbers; `None` for an array of integers.
    pub(super) fn floats(&self) -> Option<Vec<f32>> {
        match self.kind {
            Kind::F32 => Some(self.bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
            Kind::F64 => {
                Some(self.bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect())
            }
            Kind::U(_) | Kind::I(_) => None,
        }
    }

    /// The elements as numbers from 0; `None` for an array of other numbers.
    pub(super) fn naturals(&self) -> Option<Vec<u64>> {
        let (size, signed) = match self.kind {
            Kind::U(size) => (size, false),
            Kind::I(size) => (size, true),
            Kind::F32 | Kind::F64 => return None,
        };
        let natural = |bytes: &[u8]| {
            let negative = signed && bytes[size - 1] >= 128;
            let mut wide = [0; 8];
            wide[..size].copy_from_slice(bytes);
            (!negative).then(|| u64::from_le_bytes(wide))
        };
        self.bytes.chunks_exact(size).map(natural).collect()
    }
}

/// What stands behind `'key':` in the header.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let at = header.find(&format!("'{key}':"))?;
    Some(header[at + key.len() + 3..].trim_start())
}

/// A quoted text of the header.
fn text<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let quoted = value(header, key)?.strip_prefix('\'')?;
    quoted.split_once('\'').map(|(text, _)| text)
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let (sizes, _) = value(header, "shape")?.strip_prefix('(')?.split_once(')')?;
    let sizes = sizes.split(',').map(str::trim).filter(|size| !size.is_empty());
    sizes.map(|size| size.parse().ok()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file as numpy writes it.
    pub(in super::super) fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        let header = format!("{header:<117}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn arrays_of_every_kind_are_read() {
        let floats: Vec<u8> = [1f32, -2.5, 0.0, 3.0, 4.0, 5.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let array = Array::parse(&npy("<f4", "(2, 3)", &floats)).unwrap();
        assert_eq!((array.shape.as_slice(), array.floats().unwrap()[1]), ([2, 3].as_slice(), -2.5));
        assert!(array.naturals().is_none());
        let double = Array::parse(&npy("<f8", "(1,)", &0.1f64.to_le_bytes())).unwrap();
        assert_eq!(double.floats().unwrap(), [0.1f32]);
        let of = |descr: &str, bytes: &[u8]| Array::parse(&npy(descr, "(1,)", bytes)).unwrap().naturals();
        assert_eq!(of("|u1", &[200]), Some(vec![200]));
        assert_eq!(of("<u2", &[1, 2]), Some(vec![513]));
        assert_eq!(of("<i8", &7i64.to_le_bytes()), Some(vec![7]));
        assert_eq!(of("<i4", &(-1i32).to_le_bytes()), None, "negative");
        assert_eq!(Array::parse(&npy("<f4", "()", &floats[..4])).unwrap().shape, [0usize; 0]);
    }

    #[test]
    fn other_files_are_refused_with_a_reason() {
        let fault = |file: &[u8]| Array::parse(file).err().expect("refused");
        assert!(fault(b"PK").contains("magic"));
        assert!(fault(&npy(">f4", "(1,)", &[0; 4])).contains("little-endian"));
        assert!(fault(&npy("<f4", "(2,)", &[0; 4])).contains("4 bytes of data"));
        assert!(fault(&npy("<f8", "(9999999999, 9999999999)", &[0; 8])).contains("8 bytes of data"));
        let fortran = npy("<f4", "(1,)", &[0; 4]);
        let fortran = String::from_utf8_lossy(&fortran[10..]).replace("False", "True ");
        let fortran = [b"\x93NUMPY\x01\x00\x76\x00", fortran.as_bytes()].concat();
        assert!(fault(&fortran).contains("ascontiguousarray"), "{}", fault(&fortran));
        let whole = npy("<f4", "(1,)", &[0; 4]);
        assert!((0..whole.len()).all(|length| Array::parse(&whole[..length]).is_err()));
    }

    proptest! {
        #[test]
        fn changed_files_never_panic(at in 0usize..136, byte: u8, shape in "[(0-9), ]{0,12}") {
            let mut file = npy("<f4", &shape, &[0; 8]);
            let length = file.len();
            file[at.min(length - 1)] = byte;
            if let Ok(array) = Array::parse(&file) {
                prop_assert!(array.floats().is_none() || array.naturals().is_none());
            }
        }
    }
}
