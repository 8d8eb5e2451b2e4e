//! The formats of torch.save that are archives.

#![allow(dead_code, reason = "each test uses its part of this")]

use super::torch::{Py, Storage, text};
use std::io::{Cursor, Write};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

/// The format of PyTorch 1.6 and later.
pub(crate) fn zipped(root: &Py, storages: &[Storage], method: CompressionMethod) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    let mut put = |name: String, bytes: &[u8]| {
        archive.start_file(name, options).expect("a new entry");
        archive.write_all(bytes).expect("in memory");
    };
    put("archive/data.pkl".into(), &root.pickle());
    put("archive/byteorder".into(), b"little");
    put("archive/version".into(), b"3\n");
    for storage in storages {
        put(format!("archive/data/{}", storage.key), &storage.bytes);
    }
    archive.finish().expect("in memory").into_inner()
}

/// A tensor of the tar format: a name, its storage of floats and its shape.
pub(crate) struct TarTensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// The format of PyTorch before 0.1.10.
pub(crate) fn tarred(tensors: &[TarTensor]) -> Vec<u8> {
    let count = Py::Int(tensors.len() as i64).pickle();
    let (mut storage_file, mut tensor_file, mut root) = (count.clone(), count, Vec::new());
    for (i, tensor) in tensors.iter().enumerate() {
        let (storage, key) = (Py::Int(1000 + i as i64), Py::Int(i as i64));
        let fields = vec![storage.clone(), text("cpu"), Py::Global("torch", "FloatStorage")];
        storage_file.extend(Py::Tuple(fields).pickle());
        storage_file.extend((tensor.values.len() as i64).to_le_bytes());
        storage_file.extend(tensor.values.iter().flat_map(|v| v.to_le_bytes()));
        tensor_file.extend(Py::Tuple(vec![key, storage, Py::Global("torch", "FloatTensor")]).pickle());
        tensor_file.extend((tensor.shape.len() as i32).to_le_bytes());
        tensor_file.extend([0; 4]);
        let strides = (0..tensor.shape.len()).map(|i| tensor.shape[i + 1..].iter().product());
        for number in tensor.shape.iter().copied().chain(strides).chain([0]) {
            tensor_file.extend((number as i64).to_le_bytes());
        }
        root.push((tensor.name.clone(), Py::Persistent(Box::new(text(&i.to_string())))));
    }
    storage_file.extend(Py::List(vec![]).pickle());
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in
        [("storages", storage_file), ("tensors", tensor_file), ("pickle", Py::Dict(root).pickle())]
    {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes.as_slice()).expect("in memory");
    }
    archive.into_inner().expect("in memory")
}
