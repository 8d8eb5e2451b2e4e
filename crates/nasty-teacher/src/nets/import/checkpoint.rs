//! Reads which tensors a file holds, of whatever format, and their values when asked for.
//!
//! PyTorch's pickles are read by the crate `pytorch-reader`, which builds data and never calls anything. What a pickle
//! claims is held against the file's length before any value is read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use half::{bf16, f16};
use pytorch_reader::{DType, FileFormat, PickleValue, PytorchError, PytorchReader};
use safetensors::tensor::{Dtype, SafeTensors};

use super::ImportError;
use crate::nets::NetError;
use crate::nets::weights::read_bounded;

/// Larger safetensors files are refused before they are read.
const MAX_SAFETENSORS_BYTES: u64 = 4 << 30;
/// Tensors may share storages, and zip archives may be compressed; float weights compress by a tenth, so tensors
/// that claim more than this times the file's length are no weights.
const MAX_INFLATION: u128 = 8;
/// What every file may claim: tiny ones are mostly headers, or sparse in content.
const FREE_BYTES: u128 = 1 << 20;

/// One tensor of a file, its values not yet read.
pub(super) struct Stored {
    /// Its path through the file's dictionaries, joined by dots.
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    element: Option<Element>,
    bytes: Bytes,
}

enum Bytes {
    Pytorch(pytorch_reader::Tensor),
    Read(Vec<u8>),
}

/// Types of elements that weights have.
#[derive(Clone, Copy)]
enum Element {
    F16,
    Bf16,
    F32,
    F64,
}

impl Stored {
    /// A float32 tensor without values.
    #[cfg(test)]
    pub(super) fn empty(name: &str, shape: &[usize]) -> Self {
        Self {
            name: name.into(),
            shape: shape.into(),
            element: Some(Element::F32),
            bytes: Bytes::Read(Vec::new()),
        }
    }

    /// Whether the elements are floating-point numbers.
    pub(super) fn is_float(&self) -> bool {
        self.element.is_some()
    }

    /// The values in row-major order.
    pub(super) fn values(&self) -> Result<Vec<f32>, String> {
        let read;
        let bytes = match &self.bytes {
            Bytes::Read(bytes) => bytes,
            Bytes::Pytorch(tensor) => {
                read = tensor.read().map_err(|e| e.to_string())?;
                &read
            }
        };
        Ok(match self.element {
            Some(Element::F16) => decode(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Some(Element::Bf16) => decode(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Some(Element::F32) => decode(bytes, f32::from_le_bytes),
            Some(Element::F64) => decode(bytes, |b| f64::from_le_bytes(b) as f32),
            None => return Err(format!("`{}` is not of a floating-point type", self.name)),
        })
    }
}

fn decode<const N: usize>(bytes: &[u8], element: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| element(*b)).collect()
}

/// The tensors of `path`, sorted by name, and what kind of file it is.
pub(super) fn open(path: &Path) -> Result<(Vec<Stored>, &'static str), ImportError> {
    let fail = |e| NetError::read(path, e);
    let mut file = File::open(path).map_err(fail)?;
    let about = file.metadata().map_err(fail)?;
    if !about.is_file() {
        return Err(unreadable(path, "file of weights", "it is not a regular file"));
    }
    let mut head = Vec::new();
    file.by_ref().take(9).read_to_end(&mut head).map_err(fail)?;
    // A safetensors file is a 64-bit length, then JSON.
    let (mut tensors, kind) = if head.get(8) == Some(&b'{') && head[7] == 0 && !head.starts_with(b"PK") {
        (safetensors(path)?, "safetensors file")
    } else {
        pytorch(path, about.len())?
    };
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((tensors, kind))
}

fn unreadable(path: &Path, kind: &'static str, problem: impl ToString) -> ImportError {
    ImportError::Unreadable { path: path.to_owned(), kind, problem: problem.to_string() }
}

fn safetensors(path: &Path) -> Result<Vec<Stored>, ImportError> {
    let bytes = read_bounded(path, MAX_SAFETENSORS_BYTES)?;
    // The crate checks that every tensor has the bytes of its shape, that they lie in the file and do not overlap.
    let file = SafeTensors::deserialize(&bytes).map_err(|e| unreadable(path, "safetensors file", e))?;
    let stored = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| Stored {
        name: name.to_owned(),
        shape: view.shape().to_vec(),
        element: match view.dtype() {
            Dtype::F16 => Some(Element::F16),
            Dtype::BF16 => Some(Element::Bf16),
            Dtype::F32 => Some(Element::F32),
            Dtype::F64 => Some(Element::F64),
            _ => None,
        },
        bytes: Bytes::Read(view.data().to_vec()),
    };
    Ok(file.iter().map(stored).collect())
}

fn pytorch(path: &Path, length: u64) -> Result<(Vec<Stored>, &'static str), ImportError> {
    const KIND: &str = "PyTorch checkpoint";
    let fail = |e: PytorchError| unreadable(path, KIND, e);
    refuse_sparse_tar(path)?;
    let reader = PytorchReader::new(path).map_err(fail)?;
    let pickle = PytorchReader::read_pickle_data(path, None).map_err(fail)?;
    if let Some(name) = foreign(&pickle) {
        return Err(ImportError::Foreign { path: path.to_owned(), name });
    }
    let kind = match reader.metadata().format_type {
        FileFormat::Zip => "PyTorch checkpoint (zip)",
        FileFormat::Tar => "PyTorch checkpoint (tar)",
        FileFormat::Legacy => "PyTorch checkpoint (legacy)",
        FileFormat::Pickle => "pickle",
    };
    let tensors = reader.into_tensors();
    let claimed: u128 = tensors.values().map(|t| t.byte_len() as u128).sum();
    if claimed > FREE_BYTES.max(MAX_INFLATION * u128::from(length)) {
        return Err(ImportError::Inflated { path: path.to_owned(), claimed, length });
    }
    let stored = |(name, tensor): (String, pytorch_reader::Tensor)| Stored {
        name,
        shape: tensor.shape().to_vec(),
        element: match tensor.dtype() {
            DType::F16 => Some(Element::F16),
            DType::BF16 => Some(Element::Bf16),
            DType::F32 => Some(Element::F32),
            DType::F64 => Some(Element::F64),
            _ => None,
        },
        bytes: Bytes::Pytorch(tensor),
    };
    Ok((tensors.into_iter().map(stored).collect(), kind))
}

/// The first thing in a pickle, if any, that is neither data nor among what checkpoints usually hold beside weights.
fn foreign(value: &PickleValue) -> Option<String> {
    match value {
        PickleValue::Unsupported(name) => (!is_usual(name)).then(|| name.clone()),
        PickleValue::List(items) => items.iter().find_map(foreign),
        PickleValue::Dict(entries) => entries.values().find_map(foreign),
        _ => None,
    }
}

/// Python names that stand for data: tensors, types, numpy's scalars and arrays, parsed arguments, paths.
fn is_usual(name: &str) -> bool {
    // The older pickle protocols use Python 2's name of the module.
    if let Some(builtin) = name.strip_prefix("__builtin__.") {
        return is_usual(&format!("builtins.{builtin}"));
    }
    const NAMES: &[&str] = &[
        "int",
        "_codecs.encode",
        "argparse.Namespace",
        "builtins.bool",
        "builtins.bytearray",
        "builtins.bytes",
        "builtins.complex",
        "builtins.dict",
        "builtins.float",
        "builtins.int",
        "builtins.list",
        "builtins.object",
        "builtins.slice",
        "builtins.str",
        "builtins.tuple",
        "collections.Counter",
        "collections.defaultdict",
        "collections.deque",
        "numpy.dtype",
        "numpy.ndarray",
        "torch.device",
        "torch.Size",
        "torch.Tensor",
        "torch.TypedStorage",
        "torch.UntypedStorage",
        "torch.memory_format",
    ];
    const MODULES: &[&str] =
        &["numpy.core.multiarray.", "numpy._core.multiarray.", "numpy.dtypes.", "pathlib."];
    // Types such as torch.float32, and classes of its networks and optimisers; its functions are lower case.
    let torch_type = name.strip_prefix("torch.").is_some_and(|rest| {
        let last = rest.rsplit('.').next().unwrap_or(rest);
        let dtype = ["float", "double", "half", "bfloat", "int", "long", "short", "uint", "bool"];
        (rest == last && dtype.iter().any(|d| last.trim_end_matches(|c: char| c.is_ascii_digit()) == *d))
            || ((rest.starts_with("nn.") || rest.starts_with("optim."))
                && last.starts_with(|c: char| c.is_ascii_uppercase()))
    });
    torch_type || NAMES.contains(&name) || MODULES.iter().any(|module| name.starts_with(module))
}

/// Before a tar file's entries are read whole: they must be plain and lie in the file (a sparse one may claim any size).
fn refuse_sparse_tar(path: &Path) -> Result<(), ImportError> {
    const KIND: &str = "PyTorch checkpoint (tar)";
    let mut head = Vec::new();
    let open = || File::open(path).map_err(|e| NetError::read(path, e));
    open()?.take(512).read_to_end(&mut head).map_err(|e| NetError::read(path, e))?;
    if head.get(257..262) != Some(b"ustar") {
        return Ok(());
    }
    let fail = |e: std::io::Error| unreadable(path, KIND, e);
    let length = std::fs::metadata(path).map_err(|e| NetError::read(path, e))?.len();
    for entry in tar::Archive::new(open()?).entries().map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let kind = entry.header().entry_type();
        if !(kind.is_file() || kind.is_dir()) || entry.size() > length {
            return Err(unreadable(
                path,
                KIND,
                format!("it has an entry of {} bytes of type {kind:?}", entry.size()),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_told_from_functions_and_foreign_classes() {
        for name in [
            "torch.float32",
            "torch.bfloat16",
            "torch.optim.sgd.SGD",
            "torch.nn.modules.loss.CrossEntropyLoss",
            "numpy.core.multiarray.scalar",
            "numpy.dtypes.Float64DType",
            "__builtin__.complex",
            "pathlib.PosixPath",
            "collections.Counter",
        ] {
            assert!(is_usual(name), "{name}");
        }
        for name in [
            "os.system",
            "builtins.eval",
            "__builtin__.getattr",
            "torch.load",
            "torch.hub.load",
            "torch.nn.functional.relu",
            "numpy.load",
            "__main__.Config",
            "functools.partial",
            "",
        ] {
            assert!(!is_usual(name), "{name}");
        }
    }
}
