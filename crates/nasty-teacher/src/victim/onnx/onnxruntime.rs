//! A graph in Microsoft's onnxruntime, a shared library that is loaded while the program runs.

use super::session::{Failure, Load, Numbers, Session, guarded};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, SessionInputValue};
use ort::value::{DynValue, TensorRef};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The library of this process, and its one environment: onnxruntime allows no second one.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// A graph that onnxruntime computes.
pub(super) struct Onnxruntime {
    /// One call at a time: onnxruntime's sessions are not safe to share between threads.
    graph: Mutex<(ort::session::Session, RunOptions<HasSelectedOutputs>)>,
    runtime: String,
    input: String,
    bytes: bool,
    output: String,
}

impl Onnxruntime {
    /// Loads a model, and the library at `library` if that has not happened yet.
    ///
    /// # Errors
    /// What the runtime says.
    pub(super) fn load(library: &Path, load: &Load<'_>) -> Result<Self, String> {
        guarded(|| {
            let environment = environment(library)?;
            let graph = ort::session::Session::builder(&environment).map_err(said)?;
            let graph = graph.with_intra_threads(rayon::current_num_threads()).map_err(said)?;
            let graph = graph.with_log_level(LogLevel::Fatal).map_err(said)?;
            let mut graph = graph.with_deterministic_compute(true).map_err(said)?;
            let graph = graph.commit_from_memory(load.model).map_err(said)?;
            let options = RunOptions::new().map_err(said)?;
            let options = options.with_outputs(OutputSelector::no_default().with(load.output));
            Ok(Self {
                graph: Mutex::new((graph, options)),
                runtime: name(ort::info()),
                input: load.input.to_owned(),
                bytes: load.bytes,
                output: load.output.to_owned(),
            })
        })
    }
}

impl Session for Onnxruntime {
    fn runtime(&self) -> &str {
        &self.runtime
    }

    fn run(&self, input: &Numbers) -> Result<Numbers, Failure> {
        Ok(guarded(|| {
            let mut graph = self.graph.lock().unwrap_or_else(PoisonError::into_inner);
            let (graph, options) = &mut *graph;
            let shape = &input.shape[..];
            let bytes: Vec<u8>;
            let value: SessionInputValue<'_> = if self.bytes {
                bytes = input.values.iter().map(|v| *v as u8).collect();
                TensorRef::from_array_view((shape, &bytes[..])).map_err(said)?.into()
            } else {
                TensorRef::from_array_view((shape, &input.values[..])).map_err(said)?.into()
            };
            let outputs =
                graph.run_with_options(vec![(self.input.as_str(), value)], &*options).map_err(said)?;
            let output = outputs.get(&self.output).ok_or("it has no such output")?;
            numbers(output).ok_or_else(|| {
                format!("expected floating-point numbers as answers, found {}", output.dtype())
            })
        })?)
    }
}

/// The environment of `library`, which is loaded the first time.
fn environment(library: &Path) -> Result<Environment, String> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    match &*loaded {
        Some((path, environment)) if path == library => Ok(environment.clone()),
        Some((path, _)) => Err(format!("{} is loaded already", path.display())),
        None => {
            let builder =
                ort::init_from(library).map_err(|e| format!("onnxruntime cannot be loaded: {e}"))?;
            let environment = builder.with_telemetry(false).build().map_err(said)?;
            *loaded = Some((library.to_owned(), environment.clone()));
            Ok(environment)
        }
    }
}

/// The floats of a tensor with their shape; none for anything else.
fn numbers(value: &DynValue) -> Option<Numbers> {
    let of = |shape: &[i64], values: Vec<f32>| {
        let shape = shape.iter().map(|side| usize::try_from(*side).ok()).collect::<Option<_>>()?;
        Some(Numbers { shape, values })
    };
    if let Ok((shape, values)) = value.try_extract_tensor::<f32>() {
        return of(shape, values.to_vec());
    }
    if let Ok((shape, values)) = value.try_extract_tensor::<f64>() {
        return of(shape, values.iter().map(|v| *v as f32).collect());
    }
    let (shape, values) = value.try_extract_tensor::<half::f16>().ok()?;
    of(shape, values.iter().map(|v| v.to_f32()).collect())
}

/// The version, where it is said, and the commit, of what a build of onnxruntime says about itself: `ORT Build Info: git-branch=…, git-commit-id=…, …`.
fn name(about: &str) -> String {
    let part = |key: &str| {
        let value = about.split_once(key)?.1;
        Some(value.split(',').next().unwrap_or(value).trim()).filter(|value| !value.is_empty())
    };
    // Branches of releases are called after them.
    let release = part("git-branch=").and_then(|branch| branch.strip_prefix("rel-"));
    let known = [release, part("git-commit-id=")].into_iter().flatten();
    ["onnxruntime"].into_iter().chain(known).collect::<Vec<_>>().join(" ")
}

fn said<R>(error: ort::Error<R>) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_build_is_known_by_its_version_and_commit() {
        let about = "ORT Build Info: git-branch=rel-1.32.0, git-commit-id=0a1b2c, build type=Release";
        assert_eq!(name(about), "onnxruntime 1.32.0 0a1b2c");
        let about = "ORT Build Info: git-branch=HEAD, git-commit-id=0a1b2c, build type=Release";
        assert_eq!(name(about), "onnxruntime 0a1b2c");
        assert_eq!(name("no such words"), "onnxruntime");
    }
}
