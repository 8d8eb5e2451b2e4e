//! Training: a [`Recipe`], its objective, optimiser and schedule, the one loop, its saved state, evaluation,
//! and frozen networks.

pub mod checkpoint;
mod device_check;
mod evaluate;
mod frozen;
pub mod logits;
mod objective;
mod optimiser;
mod recipe;
mod schedule;
mod sgd;
pub(crate) mod state_file;
mod trainer;

pub use checkpoint::StateError;
pub use device_check::{DeviceCheck, check_device};
pub use evaluate::{Evaluation, all_logits, argmax, evaluate, log_probabilities, mean_scaled_kl};
pub use frozen::{Frozen, forward, host};
pub use logits::{LogitTables, TableKey};
pub use objective::{NetworkRef, Objective};
pub use optimiser::{Optimiser, clip_global_norm};
pub use recipe::{DataRecipe, Keep, Parity, RECIPE_FORMAT, Recipe, identity};
pub use schedule::Schedule;
pub use trainer::{EpochRow, Observer, Outcome, Partial, Selection, TrainError, Trainer};
