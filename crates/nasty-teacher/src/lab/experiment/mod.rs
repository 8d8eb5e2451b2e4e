//! Experiments: files that name teachers, students and sweeps as a difference from documented defaults, and the tasks
//! that they ask for.

mod expand;
mod file;
mod settings;
mod shipped;

pub use expand::{DataFacts, Entry, Place, ResolveError, Resolved, Role, Side};
pub use file::{Experiment, ExperimentError};
pub use settings::{
    Changes, DataFreeSettings, EXPERIMENT_FORMAT, Other, Reference, Scale, Settings, Source, StudentSettings,
    TeacherSettings,
};
pub use shipped::{ALL as SHIPPED, Shipped};
