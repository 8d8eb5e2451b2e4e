//! The laboratory: recipes by default and by difference, experiments, the store of runs, and carrying recipes out.

pub mod defaults;
mod executor;
pub mod experiment;
mod job;
mod overrides;
mod plan;
pub mod quickstart;
mod recorder;
mod result;
mod split;
mod store;
mod task;
mod workplace;

pub use executor::{Ended, Executor, Local, TaskEnd, Watch, Worker};
pub use job::{JobEnd, JobError};
pub use overrides::{OverrideError, apply};
pub use plan::{Plan, Planned, State};
pub use result::{Failure, Machine, Nastiness, RESULT_FORMAT, RunResult, Verdict};
pub use store::{Run, RunLock, Store, StoreError};
pub use task::Task;
pub use workplace::{Workplace, digest, normalisation_of};
