//! Between Burn's tensors and slices: what every operation on the CPU backend needs.

use burn::backend::DispatchTensorKind;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape, Tensor};

/// Whether the tensor lives on the CPU backend, with or without autodiff: there our kernels run.
pub(crate) fn is_flex<const D: usize>(tensor: &Tensor<D>) -> bool {
    // Cloning a tensor counts a reference; the kind is not to be had otherwise.
    let tensor = tensor.clone().into_dispatch();
    let kind = match &tensor.kind {
        DispatchTensorKind::Autodiff(inner) => inner.as_ref(),
        kind => kind,
    };
    match kind {
        DispatchTensorKind::Flex(_) => true,
        #[allow(unreachable_patterns, reason = "other kinds exist as Burn's features ask for them")]
        _ => false,
    }
}

/// The tensor with its elements in order from the start of its storage.
pub(crate) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() && tensor.layout().start_offset() == 0 { tensor } else { tensor.to_contiguous() }
}

/// The elements of a tensor made [`contiguous`].
pub(crate) fn elements(tensor: &FlexTensor) -> &[f32] {
    assert!(tensor.is_contiguous() && tensor.layout().start_offset() == 0, "a view where elements are read");
    // A prefix of a longer buffer is contiguous too.
    &tensor.storage::<f32>()[..tensor.layout().num_elements()]
}

/// The sides of a tensor of `D` dimensions.
pub(crate) fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.layout().shape().dims()
}

/// A tensor that owns `data`.
pub(crate) fn from_vec<const D: usize>(data: Vec<f32>, dims: [usize; D]) -> FlexTensor {
    debug_assert_eq!(data.len(), dims.iter().product::<usize>());
    FlexTensor::new(Bytes::from_elems(data), Layout::contiguous(Shape::from(dims)), DType::F32)
}
