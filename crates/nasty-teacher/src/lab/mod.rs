//! The laboratory: recipes by default and by difference, the store of runs, and carrying recipes out.

pub mod defaults;
mod job;
mod overrides;
pub mod quickstart;
mod result;
mod store;
mod weights;

pub use job::{JobEnd, JobError, Workplace, digest, normalisation_of};
pub use overrides::{OverrideError, apply};
pub use result::{Machine, Nastiness, RESULT_FORMAT, RunResult, Verdict};
pub use store::{Run, RunLock, Store, StoreError};
pub use weights::{KnownNormalisation, load_network};
