//! Experiments: files that describe teachers, students and sweeps as differences from documented defaults, and the
//! resulting tasks.

mod axes;
mod cells;
mod expand;
mod file;
mod keys;
mod parts;
mod settings;
mod shipped;

pub use axes::{AxisKind, AxisScale, AxisSpec, Place, Value};
pub use cells::{Entry, Resolved, Role, Side};
pub use expand::{AskFacts, ResolveError};
pub(super) use file::gather_parts;
pub use file::{Experiment, ExperimentError};
pub use parts::{DataFreeSettings, PartKind};
pub use settings::{
    Changes, EXPERIMENT_FORMAT, Other, PageStyle, Reference, Scale, Settings, Source, StudentSettings,
    TeacherSettings,
};
pub use shipped::{ALL as SHIPPED, Shipped};
