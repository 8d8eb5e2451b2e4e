//! Which runtime computes ONNX files, as a person chooses it.

use super::Runtime;
use crate::{Classified, ErrorClass};
use miette::Diagnostic;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The variable of the environment in which the crate `ort` looks for the library of onnxruntime.
pub const LIBRARY: &str = "ORT_DYLIB_PATH";

/// What is said where onnxruntime is asked for and was not compiled in.
pub(super) const NOT_BUILT_IN: &str = "this program was built without onnxruntime: build it with `cargo install --path crates/nasty --features ort`";

/// Which runtime computes ONNX files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// onnxruntime if it was compiled in and [`LIBRARY`] names its library, else the built-in one.
    #[default]
    Auto,
    /// The built-in one.
    Rten,
    /// onnxruntime, in the shared library at this path.
    Onnxruntime(PathBuf),
}

/// A library of onnxruntime that is not there.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{}: expected the library of onnxruntime: {source}", path.display())]
#[diagnostic(help("{help}"))]
pub struct EngineError {
    path: PathBuf,
    source: std::io::Error,
    help: String,
}

impl Classified for EngineError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Usage
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("ort:")) {
            ("auto", _) => Ok(Self::Auto),
            ("rten", _) => Ok(Self::Rten),
            (_, Some(_)) if !cfg!(feature = "ort") => Err(NOT_BUILT_IN.to_owned()),
            (_, Some(path)) if !path.is_empty() => Ok(Self::Onnxruntime(path.into())),
            _ => Err("expected auto, rten or ort:PATH, where PATH is onnxruntime's library, such as libonnxruntime.so"
                .to_owned()),
        }
    }
}

impl Engine {
    /// This engine in processes of their own that are `program`, with bounded memory and time.
    ///
    /// # Errors
    /// [`EngineError`] if onnxruntime's library is not there.
    pub fn runtime(&self, program: PathBuf) -> Result<Runtime, EngineError> {
        let named = std::env::var_os(LIBRARY).filter(|path| cfg!(feature = "ort") && !path.is_empty());
        let (library, help) = match (self, &named) {
            (Self::Onnxruntime(path), _) => {
                let wheel = "Python's onnxruntime contains one: onnxruntime/capi/libonnxruntime.so.*";
                (path.as_path(), wheel.to_owned())
            }
            (Self::Auto, Some(path)) => {
                (Path::new(path), format!("{LIBRARY} names it; unset that, or choose rten"))
            }
            (Self::Auto | Self::Rten, _) => return Ok(Runtime::Worker(program)),
        };
        // The process that loads it may have another current folder.
        match library.canonicalize() {
            Ok(library) => Ok(Runtime::Onnxruntime { program, library }),
            Err(source) => Err(EngineError { path: library.to_owned(), source, help }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_chooses_the_runtime() {
        assert_eq!("auto".parse(), Ok(Engine::Auto));
        assert_eq!("rten".parse(), Ok(Engine::Rten));
        for text in ["", "ORT", "onnxruntime", "/usr/lib/libonnxruntime.so"] {
            let error = text.parse::<Engine>().expect_err(text);
            assert!(error.contains("ort:PATH"), "{error}");
        }
        let found = "ort:/no/such.so".parse::<Engine>();
        if cfg!(feature = "ort") {
            let engine = found.expect("a path");
            let error = engine.runtime("nasty".into()).err().expect("no such file");
            assert!(
                error.to_string().starts_with("/no/such.so: expected the library of onnxruntime"),
                "{error}"
            );
            assert!("ort:".parse::<Engine>().is_err());
        } else {
            assert!(found.expect_err("not compiled in").contains("--features ort"));
        }
        assert!(matches!(Engine::Rten.runtime("nasty".into()), Ok(Runtime::Worker(_))));
    }
}
