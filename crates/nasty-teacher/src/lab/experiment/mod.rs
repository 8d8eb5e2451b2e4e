//! Experiments: files that name teachers, students and sweeps as a difference from documented defaults, and the tasks
//! that they ask for.

mod cells;
mod expand;
mod file;
mod settings;
mod shipped;

pub use cells::{DataFacts, Entry, Place, Resolved, Role, Side};
pub use expand::ResolveError;
pub use file::{Experiment, ExperimentError};
pub use settings::{
    Changes, DataFreeSettings, EXPERIMENT_FORMAT, Other, Reference, Scale, Settings, Source, StudentSettings,
    TeacherSettings,
};
pub use shipped::{ALL as SHIPPED, Shipped};
