//! The calls that rebuild a tensor, interpreted without executing them (`torch/_utils.py`, `torch/_tensor.py`).

use crate::nets::import::stored::Element;
use crate::pickle::{Object, Pickled, Value};

/// A tensor as a pickle describes it; nothing in it is checked.
#[derive(Debug, PartialEq)]
pub(super) struct Rebuilt {
    pub(super) storage: StorageId,
    pub(super) offset: i64,
    pub(super) shape: Vec<i64>,
    pub(super) strides: Vec<i64>,
    pub(super) kind: ElementKind,
}

/// A storage outside the pickle.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StorageId {
    pub(super) key: String,
    pub(super) kind: ElementKind,
    pub(super) elements: i64,
    /// Where in the storage named by `key` it begins, in elements.
    pub(super) from: i64,
}

/// What elements are, and their bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ElementKind {
    pub(super) float: Option<Element>,
    pub(super) bytes: usize,
}

impl ElementKind {
    /// By the name of a storage's class (`FloatStorage`) or of a type (`float32`).
    pub(super) fn named(name: &str) -> Option<Self> {
        let (float, bytes) = match name {
            "HalfStorage" | "float16" | "half" => (Some(Element::F16), 2),
            "BFloat16Storage" | "bfloat16" => (Some(Element::Bf16), 2),
            "FloatStorage" | "float32" | "float" => (Some(Element::F32), 4),
            "DoubleStorage" | "float64" | "double" => (Some(Element::F64), 8),
            "LongStorage" | "ComplexFloatStorage" | "int64" | "uint64" | "complex64" => (None, 8),
            "IntStorage" | "QInt32Storage" | "int32" | "uint32" | "complex32" | "ComplexHalfStorage" => {
                (None, 4)
            }
            "ShortStorage" | "int16" | "uint16" => (None, 2),
            "ComplexDoubleStorage" | "complex128" => (None, 16),
            "CharStorage" | "ByteStorage" | "BoolStorage" | "UntypedStorage" | "QInt8Storage"
            | "QUInt8Storage" | "QUInt4x2Storage" | "QUInt2x4Storage" | "int8" | "uint8" | "bool" => {
                (None, 1)
            }
            _ if name.starts_with("float8") => (None, 1),
            _ => return None,
        };
        Some(Self { float, bytes })
    }
}

/// Axes of a tensor, at most.
pub(super) const MOST_AXES: usize = 64;
/// Wrappers of a tensor in each other, at most.
const MOST_LAYERS: usize = 8;

/// The tensor that `value` is, if it is one.
pub(super) fn rebuilt<'a>(pickled: &Pickled<'a>, value: Value<'a>) -> Option<Rebuilt> {
    let (function, arguments) = pickled.call(value)?;
    called(pickled, function, arguments, MOST_LAYERS)
}

fn called<'a>(
    pickled: &Pickled<'a>,
    function: &str,
    arguments: &[Value<'a>],
    layers: usize,
) -> Option<Rebuilt> {
    let inner = |value: Value<'a>| {
        let (function, arguments) = pickled.call(value)?;
        called(pickled, function, arguments, layers.checked_sub(1)?)
    };
    match (function, arguments) {
        (
            "torch._utils._rebuild_tensor_v2"
            | "torch._utils._rebuild_tensor"
            | "torch._utils._rebuild_qtensor",
            [storage, offset, shape, strides, ..],
        ) => {
            let storage = storage_id(pickled, *storage)?;
            let kind = storage.kind;
            view(pickled, storage, kind, [*offset, *shape, *strides])
        }
        ("torch._utils._rebuild_tensor_v3", [storage, offset, shape, strides, _, _, kind, ..]) => {
            let name = pickled.global(*kind)?.strip_prefix("torch.")?;
            view(
                pickled,
                storage_id(pickled, *storage)?,
                ElementKind::named(name)?,
                [*offset, *shape, *strides],
            )
        }
        (
            "torch._utils._rebuild_parameter"
            | "torch._utils._rebuild_parameter_with_state"
            | "torch._utils._rebuild_device_tensor_from_cpu_tensor"
            | "torch.nn.parameter.Parameter"
            | "torch.nn.parameter.Buffer",
            [tensor, ..],
        ) => inner(*tensor),
        (
            "torch._tensor._rebuild_from_type_v2" | "torch._tensor._rebuild_from_type",
            [function, _, arguments, ..],
        ) => {
            let (function, arguments) = (pickled.global(*function)?, pickled.tuple(*arguments)?);
            called(pickled, function, arguments, layers.checked_sub(1)?)
        }
        _ => None,
    }
}

fn view<'a>(
    pickled: &Pickled<'a>,
    storage: StorageId,
    kind: ElementKind,
    [offset, shape, strides]: [Value<'a>; 3],
) -> Option<Rebuilt> {
    let numbers = |value| -> Option<Vec<i64>> {
        let items = pickled.sequence(value).filter(|items| items.len() <= MOST_AXES)?;
        items.iter().map(|n| pickled.integer(*n)).collect()
    };
    Some(Rebuilt {
        storage,
        offset: pickled.integer(offset)?,
        shape: numbers(shape)?,
        strides: numbers(strides)?,
        kind,
    })
}

/// The storage that a persistent id stands for.
pub(super) fn storage_id<'a>(pickled: &Pickled<'a>, value: Value<'a>) -> Option<StorageId> {
    let Some(Object::Persistent(id)) = pickled.object(value) else { return None };
    let [tag, class, key, _, elements, view @ ..] = pickled.tuple(*id)? else { return None };
    if *pickled.short_bytes(*tag, 16)? != *b"storage" {
        return None;
    }
    let kind = ElementKind::named(pickled.global(*class)?.rsplit('.').next()?)?;
    // The oldest files write a part of a storage as (key, offset, elements).
    let from = match view {
        [view, ..] => match pickled.tuple(*view) {
            Some([_, from, _]) => pickled.integer(*from)?,
            _ => 0,
        },
        [] => 0,
    };
    Some(StorageId { key: pickled.text(*key)?, kind, elements: pickled.integer(*elements)?, from })
}
