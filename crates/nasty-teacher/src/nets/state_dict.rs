//! A module's tensors by name: reading and replacing them.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use super::NetError;
use super::layers::TensorEntry;

/// A tensor of a state dictionary.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Name as in the published PyTorch definition.
    pub name: String,
    /// Shape as in PyTorch (convolutions `[out, in / groups, height, width]`).
    pub shape: Vec<usize>,
    /// Elements in row-major order.
    pub data: Vec<f32>,
}

/// The values of `module`, whose tensors are `entries` by parameter id, in the entries' order.
pub(super) fn read(module: &impl Module, entries: &[TensorEntry]) -> Vec<NamedTensor> {
    let mut reader = Reader(HashMap::new());
    module.visit(&mut reader);
    let tensor = |(number, entry): (usize, &TensorEntry)| NamedTensor {
        name: entry.name.clone(),
        shape: entry.shape.clone(),
        data: reader.0.remove(&(number as u64)).expect("every registered tensor is in the module"),
    };
    entries.iter().enumerate().map(tensor).collect()
}

/// `module`, called `what` in errors, with the values of `tensors`, in any order.
/// Whether parameters are tracked for gradients stays.
pub(super) fn write<M: Module>(
    module: M,
    what: &str,
    entries: &[TensorEntry],
    tensors: &[NamedTensor],
) -> Result<M, NetError> {
    check(what, entries, tensors)?;
    let numbers: HashMap<&str, u64> = entries.iter().zip(0..).map(|(t, n)| (t.name.as_str(), n)).collect();
    let by_number = tensors.iter().map(|t| (numbers[t.name.as_str()], t)).collect();
    Ok(module.map(&mut Writer(by_number)))
}

fn check(what: &str, entries: &[TensorEntry], tensors: &[NamedTensor]) -> Result<(), NetError> {
    let mut given: HashMap<&str, &NamedTensor> = HashMap::new();
    let (mut missing, mut left_over, mut misshapen) = (Vec::new(), Vec::new(), Vec::new());
    for tensor in tensors {
        if given.insert(&tensor.name, tensor).is_some() {
            left_over.push(format!("{} (given twice)", tensor.name));
        }
    }
    for entry in entries {
        match given.remove(entry.name.as_str()) {
            None => missing.push(entry.name.clone()),
            Some(t) if t.shape != entry.shape || t.data.len() != elements(entry) => {
                misshapen.push(format!("{} (expected {:?}, found {:?})", t.name, entry.shape, t.shape));
            }
            Some(_) => {}
        }
    }
    left_over.extend(tensors.iter().filter(|t| given.contains_key(t.name.as_str())).map(|t| t.name.clone()));
    if !(missing.is_empty() && left_over.is_empty() && misshapen.is_empty()) {
        return Err(NetError::State { architecture: what.to_owned(), missing, left_over, misshapen });
    }
    for tensor in tensors {
        if let Some(index) = tensor.data.iter().position(|v| !v.is_finite()) {
            let (name, value) = (tensor.name.clone(), tensor.data[index]);
            return Err(NetError::NotFinite { name, index, value });
        }
    }
    Ok(())
}

/// Elements of a tensor.
pub(super) fn elements(entry: &TensorEntry) -> usize {
    entry.shape.iter().product()
}

/// Collects values by parameter id.
struct Reader(HashMap<u64, Vec<f32>>);

impl ModuleVisitor for Reader {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values =
            param.val().into_data().convert::<f32>().try_into_vec().expect("the data was converted to f32");
        self.0.insert(param.id.val(), values);
    }
}

/// Replaces values by parameter id.
struct Writer<'a>(HashMap<u64, &'a NamedTensor>);

impl ModuleMapper for Writer<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let tensor = self.0[&param.id.val()];
        let data = TensorData::new(tensor.data.clone(), tensor.shape.clone());
        let (id, device) = (param.id, param.lazy_device());
        param.transform_for_load(Tensor::from_data(data, &device), id)
    }
}
