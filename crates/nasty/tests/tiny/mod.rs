//! A tiny experiment, whose numbers mean nothing, and what its runs leave.

use assert_cmd::cargo::cargo_bin;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub(crate) const TINY: &str = r#"
format = 1
title = "A tiny experiment"
shows = "nothing"
scale = "small"
data = "quickstart"
seeds = [0]

[recipe]
epochs = 3
batch = 32
data = { subset = 160, validation = 100 }

[teacher]
architecture = "cnn4"

[student]
architecture = ["cnn2", "same"]
from = ["alone", "normal", "nasty"]

[[reference]]
teacher = "cnn4"
student = "cnn2"
alone = 12.34
normal = 23.45
nasty = 34.56
"#;

/// A folder with the tiny experiment's file.
pub(crate) fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temp");
    std::fs::write(folder.path().join("tiny.toml"), TINY).expect("writable");
    folder
}

pub(crate) fn nasty(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("nasty"));
    command.current_dir(folder).env("NASTY_DATA_DIR", folder).args(arguments).stdin(Stdio::null());
    command
}

pub(crate) fn output(folder: &Path, arguments: &[&str]) -> Output {
    nasty(folder, arguments).output().expect("the program starts")
}

pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Child {
    nasty(folder, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Everything that must come out the same, by run: weights, and the result without what may differ.
pub(crate) fn essence(folder: &Path) -> BTreeMap<String, (Vec<u8>, serde_json::Value)> {
    let mut runs = BTreeMap::new();
    for entry in std::fs::read_dir(folder.join("runs")).expect("a store") {
        let path = entry.expect("an entry").path();
        let Ok(json) = std::fs::read(path.join("result.json")) else { continue };
        let mut json: serde_json::Value = serde_json::from_slice(&json).expect("a whole result");
        let object = json.as_object_mut().expect("an object");
        object.remove("seconds");
        object.remove("machine");
        // An inversion gives images instead of weights.
        let weights = std::fs::read(path.join("model.safetensors"))
            .or_else(|_| std::fs::read(path.join("images.png")))
            .expect("a finished run has weights or images");
        runs.insert(path.file_name().expect("a name").to_string_lossy().into_owned(), (weights, json));
    }
    runs
}

/// The half-written files in the folders of runs.
pub(crate) fn half_files(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let runs = entries(&folder.join("runs")).filter(|path| path.join("task.json").is_file());
    let files = runs.flat_map(|run| entries(&run).collect::<Vec<_>>());
    files.filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(".part-"))).collect()
}
