//! How a task is carried out.

use super::context::Context;
use super::error::JobError;
use super::task::{Task, TaskKind, every_task};
use super::task_end::Ended;

/// What every kind of task does. In the file under `tasks/` that says what the kind says of itself.
pub trait Work: TaskKind {
    /// Does it, from the saved state if there is one. The life cycle has claimed the run, and records what this returns.
    ///
    /// # Errors
    /// [`JobError`].
    fn run(&self, context: &mut Context<'_>) -> Result<Ended, JobError>;
}

/// Carries out a task as its kind does.
macro_rules! task_work {
    ($($(#[$doc:meta])* $variant:ident($recipe:ty) = $kind:literal,)+) => {
        impl Task {
            /// Does it: [`Work::run`] of its kind.
            pub(super) fn run(&self, context: &mut Context<'_>) -> Result<Ended, JobError> {
                match self {
                    $(Self::$variant(recipe) => Work::run(recipe, context),)+
                }
            }
        }
    };
}

every_task!(task_work);
