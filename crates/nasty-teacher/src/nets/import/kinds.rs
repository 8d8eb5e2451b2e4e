//! Recognises files that are not weights in a supported format, to name what they are.

use std::path::Path;

use super::torch::contents::DUMPED;

/// What a file is, and what to do with it.
#[derive(Debug, PartialEq)]
pub(super) struct Kind {
    /// As in "it is …".
    pub(super) what: String,
    pub(super) help: String,
}

fn kind(what: &str, help: &str) -> Option<Kind> {
    Some(Kind { what: what.to_owned(), help: help.to_owned() })
}

const SAVE: &str = "in Python, save the network's weights: torch.save(model.state_dict(), \"weights.pth\")";
const UNPACK: &str = "unpack it, and import the file of weights that is in it";

/// What `file` is, by its first bytes; `None` for what may be weights, or anything.
pub(super) fn of_file(path: &Path, file: &[u8]) -> Option<Kind> {
    let begins = |magic: &[u8]| file.starts_with(magic);
    let text = std::str::from_utf8(&file[..file.len().min(1 << 10)]).map_err(|e| e.valid_up_to());
    let text = match text {
        Ok(text) => text,
        // A character that is cut by the limit is text all the same.
        Err(valid) if valid + 4 > file.len().min(1 << 10) => {
            std::str::from_utf8(&file[..valid]).unwrap_or("")
        }
        Err(_) => "",
    };
    let lower = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    if file.is_empty() {
        return kind(
            "an empty file",
            "the download or the copy may have been interrupted: get the file again",
        );
    }
    if lower.starts_with("version https://git-lfs") || lower.starts_with("version https://hawser") {
        let help = "the weights themselves lie in the repository's large-file storage: run `git lfs pull` there, or download the file from the repository's page";
        return kind("a Git LFS pointer, not the file that it points to", help);
    }
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        let help = "the download gave a page instead of the file, often a page that asks to log in or to confirm: open the address in a browser";
        return kind("an HTML page", help);
    }
    if begins(b"\x89HDF\r\n\x1a\n") {
        let help = "import reads PyTorch's weights and safetensors; in Python, copy the arrays into the PyTorch definition of the network, and save its state_dict";
        return kind("an HDF5 file, as Keras and TensorFlow write their weights", help);
    }
    if begins(b"GGUF") || begins(b"lmgg") || begins(b"tjgg") {
        return kind(
            "a GGUF file, which holds language models",
            "import the image classifier's own weights, as PyTorch or safetensors",
        );
    }
    if file.get(4..8) == Some(b"TFL3") {
        return kind(
            "a TensorFlow Lite model",
            "import the weights that it was converted from, as PyTorch or safetensors",
        );
    }
    if begins(b"\x93NUMPY") {
        return kind("a single numpy array", SAVE);
    }
    let joblib = file[..file.len().min(1 << 12)].windows(19).any(|w| w == b"joblib.numpy_pickle");
    if joblib {
        return kind(
            "a file of joblib, as scikit-learn's models are saved",
            "import reads networks of PyTorch",
        );
    }
    for (magic, name) in [
        (&b"\x1f\x8b"[..], "gzip"),
        (b"BZh", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!", "rar"),
    ] {
        if begins(magic) {
            return kind(&format!("compressed with {name}"), UNPACK);
        }
    }
    for (magic, name) in [
        (&b"\x89PNG"[..], "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"GIF8", "a GIF image"),
        (b"%PDF", "a PDF document"),
        (b"\x7fELF", "a program or a shared library"),
        (b"SQLite format 3", "a database of SQLite"),
    ] {
        if begins(magic) {
            return kind(name, "give the file of weights");
        }
    }
    if is_onnx(file) {
        let help = "import takes weights, not graphs: import the PyTorch checkpoint that the graph was exported from, as a .pth or .safetensors file";
        return kind("an ONNX graph", help);
    }
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if extension == "pb" {
        return kind("a TensorFlow graph", "import reads PyTorch's weights and safetensors");
    }
    if lower.starts_with("<?xml") {
        return kind(
            "an XML file",
            "an OpenVINO model is a graph: import the weights that it was converted from",
        );
    }
    if lower.starts_with('{') || lower.starts_with('[') {
        let help = if lower.contains("weight_map") {
            "it lists the parts of weights that are split into several files: save them as one"
        } else {
            "give the file of weights, or the folder that holds both"
        };
        return kind("a JSON file", help);
    }
    None
}

/// Text, of what is nothing else: a pickle of protocol 0 is text too.
pub(super) fn of_text(file: &[u8]) -> Option<Kind> {
    let head = &file[..file.len().min(1 << 10)];
    let printable = |b: &u8| *b >= 0x20 || matches!(b, b'\n' | b'\r' | b'\t');
    let words = head.len() > 16 && head.iter().all(printable) && head.contains(&b' ');
    if words { kind("a text file", "give the file of weights") } else { None }
}

/// What a zip archive is that torch.save did not write, by its entries.
pub(super) fn of_zip(names: &[String]) -> Kind {
    let any = |part: &dyn Fn(&str) -> bool| names.iter().any(|name| part(name));
    let known = if any(&|n| {
        n.ends_with("serialized_exported_program.json")
            || n.ends_with("archive_format")
            || n.ends_with("models/model.json")
    }) {
        kind("a program exported by torch.export", SAVE)
    } else if any(&|n| n.ends_with("model.weights.h5")) {
        kind(
            "a Keras model",
            "import reads PyTorch's weights and safetensors; in Python, copy the arrays into the PyTorch definition of the network, and save its state_dict",
        )
    } else if any(&|n| n.ends_with(".data/version") || n.ends_with(".data/extern_modules")) {
        kind("a package of torch.package", SAVE)
    } else if !names.is_empty() && names.iter().all(|n| n.ends_with(".npy")) {
        kind(
            "an archive of numpy arrays (.npz)",
            "load them into the network in Python, and save its state_dict with torch.save or safetensors",
        )
    } else {
        None
    };
    known.unwrap_or_else(|| of_archive("a zip archive", names))
}

/// What an archive is, by its entries.
pub(super) fn of_archive(what: &str, names: &[String]) -> Kind {
    let weights = [".pth", ".pt", ".th", ".ckpt", ".bin", ".safetensors", ".tar"];
    let inside: Vec<&str> =
        names.iter().filter(|n| weights.iter().any(|w| n.ends_with(w))).map(String::as_str).take(3).collect();
    let help = match inside.as_slice() {
        [] => "torch.save would have put a data.pkl into it; give the file of weights".to_owned(),
        _ => format!("unpack it, and import {}", inside.join(" or ")),
    };
    let shown: Vec<&str> = names.iter().map(String::as_str).take(3).collect();
    let more = if names.len() > 3 { ", …" } else { "" };
    let with = if names.is_empty() { "nothing".to_owned() } else { format!("{}{more}", shown.join(", ")) };
    Kind { what: format!("{what} with {with}"), help }
}

/// What a file is in which no tensor was found, where its kind says why.
pub(super) fn without_tensors(kind_of_file: &str) -> Option<Kind> {
    match kind_of_file {
        "TorchScript archive" => kind(
            "a TorchScript archive without tensors",
            "its weights are constants of the program, as after torch.jit.freeze: save the state_dict of the network before it was frozen",
        ),
        DUMPED => kind(
            "a pickle that Python's pickle module wrote, with its tensors as files inside",
            "load it in Python with pickle.load, and save it again with torch.save",
        ),
        _ => None,
    }
}

/// What to do with a program that holds weights, if they are those of no network here.
pub(super) fn of_program(kind_of_file: &str) -> Option<&'static str> {
    (kind_of_file == "TorchScript archive").then_some(
        "it is a TorchScript archive, whose program is not run: only the weights of a network known here can be taken from it",
    )
}

/// Whether `file` is a protocol buffer with the fields of ONNX's ModelProto up to its graph.
fn is_onnx(file: &[u8]) -> bool {
    let mut rest = file;
    let number = |rest: &mut &[u8]| -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, after) = rest.split_first()?;
            *rest = after;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    let mut version = false;
    for _ in 0..64 {
        let Some(key) = number(&mut rest) else { return false };
        match (key >> 3, key & 7) {
            // ir_version and model_version.
            (field @ (1 | 5), 0) => {
                let Some(value) = number(&mut rest) else { return false };
                version |= field == 1 && (1..100).contains(&value);
            }
            // The graph, behind a version.
            (7, 2) => return version,
            // Texts, opsets, metadata, functions.
            (2..=4 | 6 | 8 | 14 | 20 | 25 | 26, 2) => {
                let Some(length) = number(&mut rest) else { return false };
                let Some(after) = usize::try_from(length).ok().and_then(|length| rest.get(length..)) else {
                    return false;
                };
                rest = after;
            }
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_files_of_other_kinds_are_called_by_their_names() {
        for (bytes, what) in [
            (&b""[..], "an empty file"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a Git LFS pointer"),
            (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "an HTML page"),
            (b"\x89HDF\r\n\x1a\n\0\0", "an HDF5 file"),
            (b"GGUF\x03\0\0\0", "a GGUF file"),
            (b"\x1c\0\0\0TFL3\0", "a TensorFlow Lite model"),
            (b"\x1f\x8b\x08\0", "compressed with gzip"),
            (b"\x89PNG\r\n\x1a\n", "a PNG image"),
            (b"\x08\x08\x12\x07pytorch\x1a\x032.1\x3a\x05graph", "an ONNX graph"),
            (b"\x08\x0a\x12\x07pytorch\x3a\x05graph", "an ONNX graph"),
            (b"{\"weight_map\": {}}", "a JSON file"),
        ] {
            let found = of_file(Path::new("x"), bytes);
            assert!(found.as_ref().is_some_and(|k| k.what.starts_with(what)), "{what}: {found:?}");
        }
        for bytes in
            [&b"\x80\x02}q\x00."[..], b"PK\x03\x04", b"(dp0\nVdata\np1\nI1\ns.", &[0; 64], b"\x08\x08"]
        {
            assert_eq!(of_file(Path::new("x"), bytes), None);
        }
    }

    #[test]
    fn text_is_told_from_noise() {
        assert!(of_text(b"These are not the weights that you look for").is_some());
        assert_eq!(of_text(&[0xa5; 100]), None);
    }

    #[test]
    fn archives_are_told_by_what_is_in_them() {
        let of = |names: &[&str]| of_zip(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert!(of(&["a.npy", "b.npy"]).what.contains(".npz"));
        assert!(of(&["metadata.json", "config.json", "model.weights.h5"]).what.contains("Keras"));
        assert_eq!(of(&["run/best.pth", "run/log.txt"]).help, "unpack it, and import run/best.pth");
        assert_eq!(of(&["a", "b", "c", "d"]).what, "a zip archive with a, b, c, …");
    }
}
