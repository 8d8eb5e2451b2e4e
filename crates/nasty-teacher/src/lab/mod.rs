//! The laboratory: recipes by default and by difference, experiments, the store of runs, and carrying recipes out.

mod attack_job;
mod calibration;
mod cost;
pub mod defaults;
mod doubts;
mod executor;
pub mod experiment;
mod job;
mod overrides;
mod pictures;
mod plan;
pub mod quickstart;
mod record;
mod recorder;
mod result;
mod split;
mod store;
mod task;
mod weights;
mod workplace;

pub use calibration::Calibration;
pub use cost::{Cost, Passes, Shape, published_facts};
pub use executor::{Ended, Executor, Local, TaskEnd, Watch, Worker};
pub use job::{JobEnd, JobError};
pub use overrides::{OverrideError, apply};
pub use plan::{Plan, Planned, State};
pub use record::{Findings, Outcome, Picture, RECORD_FORMAT, Record};
pub use result::{
    EmbeddingResult, Failure, InversionResult, Machine, Nastiness, RESULT_FORMAT, ResponsesResult, RunResult,
    Verdict,
};
pub use store::{Run, RunLock, Store, StoreError};
pub use task::Task;
pub use weights::{Fitted, KnownNormalisation, Misfit, fit, load_network};
pub use workplace::{Workplace, digest, normalisation_of};
