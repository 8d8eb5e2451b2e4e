//! A folder with weights, and the descriptions beside a file of weights.

use std::path::{Path, PathBuf};

use super::ImportError;
use super::facts::Facts;
use crate::nets::NetError;
use crate::nets::weights::read_bounded;

/// Descriptions that Hugging Face, timm and this program write beside weights.
const DESCRIPTIONS: [&str; 2] = ["config.json", "preprocessor_config.json"];
const MAX_DESCRIPTION_BYTES: u64 = 16 << 20;
/// Files that are taken before any other.
const USUAL: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
const ENDINGS: [&str; 8] = ["safetensors", "pth", "pt", "th", "ckpt", "bin", "tar", "pkl"];

/// The file of weights in `folder`.
pub(super) fn weights_in(folder: &Path) -> Result<PathBuf, ImportError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| NetError::read(folder, e))? {
        let path = entry.map_err(|e| NetError::read(folder, e))?.path();
        names.extend(
            path.file_name().filter(|_| path.is_file()).map(|name| name.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    if let Some(usual) = USUAL.iter().find(|usual| names.iter().any(|name| name == *usual)) {
        return Ok(folder.join(usual));
    }
    let ending = |name: &str| Path::new(name).extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let found: Vec<&String> =
        names.iter().filter(|name| ending(name).is_some_and(|e| ENDINGS.contains(&e.as_str()))).collect();
    let other = |what: String, help: &str| ImportError::OtherKind {
        path: folder.to_owned(),
        what,
        help: help.to_owned(),
    };
    if names.iter().any(|name| name.ends_with(".index.json")) {
        return Err(other(
            "a folder whose weights are split into several files".into(),
            "save them as one file, and import that",
        ));
    }
    match found.as_slice() {
        [one] => Ok(folder.join(one)),
        [] => Err(other(
            "a folder without a file of weights".into(),
            "give the file, or a folder with a config.json and a model.safetensors",
        )),
        several => {
            let shown: Vec<&str> = several.iter().map(|name| name.as_str()).take(6).collect();
            let more = if several.len() > 6 { ", …" } else { "" };
            Err(other(
                format!("a folder with several files of weights: {}{more}", shown.join(", ")),
                "give the one to import",
            ))
        }
    }
}

/// What the descriptions beside `file` say, and what is wrong with them.
pub(super) fn described_beside(file: &Path) -> (Facts, Vec<String>) {
    let (mut facts, mut warnings) = (Facts::default(), Vec::new());
    for name in DESCRIPTIONS {
        let path = file.with_file_name(name);
        if path == file || !path.is_file() {
            continue;
        }
        let read = read_bounded(&path, MAX_DESCRIPTION_BYTES).map_err(|e| e.to_string());
        match read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string())) {
            Ok(json) => facts.add(Facts::of_json(&json, &format!("the {name} beside it"))),
            Err(e) => warnings.push(format!("the {name} beside it cannot be read, and was not used: {e}")),
        }
    }
    (facts, warnings)
}
