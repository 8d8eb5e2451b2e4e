//! Training: a [`Recipe`] with its objective, optimiser and schedule; the training loop; the life of a run with its
//! saved state; and evaluation.

mod bend;
pub(crate) mod context;
mod course;
mod device_check;
mod error;
mod evaluate;
mod heads;
mod network_ref;
mod objective;
mod optimiser;
mod recipe;
mod schedule;
mod sgd;
mod start;
pub(crate) mod state_file;
mod trainer;
mod watch;

pub use bend::{Along, Bent, bend};
pub use context::{RunContext, RunEnd};
pub use course::{EpochRow, Observer, Selection};
pub use device_check::{DeviceCheck, check_device};
pub use error::TrainError;
pub use evaluate::{Evaluation, all_logits, ask_all, evaluate, evaluate_victim, mean_scaled_kl};
pub use network_ref::NetworkRef;
pub use objective::*;
pub use optimiser::{Optimiser, clip_global_norm};
pub use recipe::{DataRecipe, Keep, Parity, RECIPE_FORMAT, Recipe, identity};
pub use schedule::Schedule;
pub use start::Start;
pub use state_file::StateError;
pub use trainer::{Outcome, Trained, Trainer};
// What thieves do with answers: the victim's room has them, and training's users need them too.
pub use crate::nets::host;
pub use crate::victim::{argmax, log_probabilities};
