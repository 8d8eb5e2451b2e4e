//! A graph that is ready to run.

use crate::panics::caught;
use rten::{Model, ModelOptions, NodeId, Value, ValueView};

/// Numbers that go in or come out: `[shape]`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Numbers {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// What is loaded: the bytes of a model, and the names of what goes in and comes out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Load<'a> {
    pub(super) input: &'a str,
    /// Whether the input is bytes, not floating-point numbers.
    pub(super) bytes: bool,
    pub(super) output: &'a str,
    /// The library of onnxruntime that is to compute it; none for the built-in runtime.
    pub(super) library: Option<&'a str>,
    pub(super) model: &'a [u8],
}

/// Why nothing came out of a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// What the runtime says, as a sentence.
    #[error("{0}")]
    Refused(String),
    /// The process that computes the graph ended.
    #[error("{problem}")]
    Ended {
        /// How, as a sentence.
        problem: String,
        /// Seconds after which the graph can be asked again.
        retry_after: u64,
    },
}

impl From<String> for Failure {
    fn from(problem: String) -> Self {
        Self::Refused(problem)
    }
}

impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        failure.to_string()
    }
}

/// Something that runs a graph.
pub(super) trait Session: Send + Sync {
    /// The name of what computes the graph.
    fn runtime(&self) -> &str;

    /// What comes out for `input`.
    ///
    /// # Errors
    /// Why nothing came out.
    fn run(&self, input: &Numbers) -> Result<Numbers, Failure>;
}

/// The name of the built-in runtime.
pub(super) const BUILT_IN: &str = "rten";

/// The built-in runtime in this process.
pub(super) struct Here {
    model: Model,
    input: NodeId,
    bytes: bool,
    output: NodeId,
}

impl Here {
    /// Loads a model.
    ///
    /// # Errors
    /// What the runtime says.
    pub(super) fn load(load: &Load<'_>) -> Result<Self, String> {
        guarded(|| {
            // What the runtime makes of graphs to compute them faster is not always the same: it takes copies in a row for repeated
            // elements (Unsqueeze, Expand, Reshape), and drops axes of size 1 that a constant of one element adds.
            let mut options = ModelOptions::with_all_ops();
            options.enable_optimization(false);
            let model = options.load(load.model.to_vec()).map_err(|e| e.to_string())?;
            let id = |name: &str| model.node_id(name).map_err(|e| e.to_string());
            let (input, output) = (id(load.input)?, id(load.output)?);
            Ok(Self { input, bytes: load.bytes, output, model })
        })
    }
}

impl Session for Here {
    fn runtime(&self) -> &str {
        BUILT_IN
    }

    fn run(&self, input: &Numbers) -> Result<Numbers, Failure> {
        Ok(guarded(|| {
            let output = if self.bytes {
                let bytes: Vec<u8> = input.values.iter().map(|v| *v as u8).collect();
                let view = ValueView::from_shape(&input.shape, &bytes).map_err(|e| e.to_string())?;
                self.model.run_n([(self.input, view.into())].into(), [self.output], None)
            } else {
                let view = ValueView::from_shape(&input.shape, &input.values).map_err(|e| e.to_string())?;
                self.model.run_n([(self.input, view.into())].into(), [self.output], None)
            };
            let [output] = output.map_err(|error| error.to_string())?;
            numbers(&output).ok_or_else(|| {
                format!(
                    "expected floating-point numbers on at most five axes as answers, found {}",
                    output.dtype()
                )
            })
        })?)
    }
}

/// The floats of a tensor with their shape; none for anything else.
pub(super) fn numbers(value: &Value) -> Option<Numbers> {
    fn of<const N: usize>(value: &Value) -> Option<Numbers> {
        let (shape, values) = value.as_view().to_owned().into_shape_vec::<f32, N>().ok()?;
        Some(Numbers { shape: shape.to_vec(), values })
    }
    of::<2>(value)
        .or_else(|| of::<4>(value))
        .or_else(|| of::<1>(value))
        .or_else(|| of::<3>(value))
        .or_else(|| of::<5>(value))
}

/// What `work` gives; a panic of the runtime becomes an error.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    caught(work).unwrap_or_else(|panic| Err(format!("the runtime gave up: {panic}")))
}
