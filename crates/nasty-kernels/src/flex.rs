//! Conversions between Burn's tensors and slices, for all operations on the CPU backend.

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchTensorKind, ExtensionType, Flex};
use burn::tensor::{Bytes, DType, Shape, Tensor};

/// An argument that may be absent, because a backend extension cannot take an `Option`.
#[derive(ExtensionType)]
pub(crate) enum Maybe<B: Backend> {
    /// A tensor.
    Given(FloatTensor<B>),
    /// None.
    Absent,
}

impl<B: Backend> Maybe<B> {
    pub(crate) fn into_option(self) -> Option<FloatTensor<B>> {
        match self {
            Self::Given(tensor) => Some(tensor),
            Self::Absent => None,
        }
    }
}

impl<const D: usize> From<Option<Tensor<D>>> for Maybe<Dispatch> {
    fn from(tensor: Option<Tensor<D>>) -> Self {
        tensor.map_or(Self::Absent, |t| Self::Given(t.into_dispatch()))
    }
}

/// Whether our kernels run on the tensor: whether it is an f32 tensor of the CPU backend, with or without autodiff.
pub(crate) fn is_flex<const D: usize>(tensor: &Tensor<D>) -> bool {
    if tensor.dtype() != DType::F32 {
        return false;
    }
    // There is no other way to get the kind; cloning a tensor only counts a reference.
    let tensor = tensor.clone().into_dispatch();
    let kind = match &tensor.kind {
        DispatchTensorKind::Autodiff(inner) => inner.as_ref(),
        kind => kind,
    };
    matches!(kind, DispatchTensorKind::Flex(_))
}

/// The backend's tensor, made [`contiguous`].
pub(crate) fn primitive<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    contiguous(tensor.try_into_primitive::<Flex>().expect("a tensor of the CPU backend without autodiff"))
}

/// The tensor with its elements in order from the start of its storage.
pub(crate) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() && tensor.layout().start_offset() == 0 {
        tensor
    } else {
        tensor.to_contiguous()
    }
}

/// The elements of a tensor, which must be [`contiguous`].
pub(crate) fn elements(tensor: &FlexTensor) -> &[f32] {
    assert!(tensor.is_contiguous() && tensor.layout().start_offset() == 0, "a view where elements are read");
    // A prefix of a longer buffer is contiguous too.
    &tensor.storage::<f32>()[..tensor.layout().num_elements()]
}

/// The dimensions of a tensor.
pub(crate) fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.layout().shape().dims()
}

/// A tensor that owns `data`.
pub(crate) fn from_vec<const D: usize>(data: Vec<f32>, dims: [usize; D]) -> FlexTensor {
    debug_assert_eq!(data.len(), dims.iter().product::<usize>());
    FlexTensor::new(Bytes::from_elems(data), Layout::contiguous(Shape::from(dims)), DType::F32)
}

/// A tensor of one dimension that owns `values`.
pub(crate) fn vector(values: Vec<f32>) -> FlexTensor {
    let len = values.len();
    from_vec(values, [len])
}
