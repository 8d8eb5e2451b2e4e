//! Experiments: files that describe teachers, students and sweeps as differences from documented defaults, and the
//! resulting tasks.

mod axes;
mod cells;
mod check;
mod error;
mod expand;
mod fields;
mod file;
mod grid;
mod keys;
mod part_kind;
mod parts;
mod settings;
mod shipped;

pub use axes::{AxisKind, AxisScale, AxisSpec, Place, Side, Value};
pub use cells::{Entry, Resolved, Role};
pub use error::{ExperimentError, ResolveError};
pub use expand::AskFacts;
pub use file::Experiment;
pub(super) use file::gather_parts;
pub use part_kind::PartKind;
pub use parts::DataFreeSettings;
pub use settings::{
    Changes, EXPERIMENT_FORMAT, Other, PageStyle, Reference, Scale, Settings, Source, StudentSettings,
    TeacherSettings,
};
pub use shipped::{ALL as SHIPPED, Shipped};
