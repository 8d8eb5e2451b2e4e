//! The formats of `torch.save`: a pickle of the objects, with the tensors' storages beside it.

pub(super) mod contents;
pub(super) mod legacy;
mod python_names;
pub(super) mod tar;
mod tensors;
pub(super) mod zip;

/// The most opcodes of a pickle that is read.
pub(super) const MOST_OPCODES: usize = 4_000_000;
