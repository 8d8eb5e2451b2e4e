//! The laboratory: default recipes and changes to them, experiments, the store of runs, and the execution of tasks.

mod answer_log;
pub mod ask;
mod ask_options;
mod ask_recipe;
mod audit_file;
mod calibration;
mod claim;
mod context;
mod cost;
mod data_facts;
pub mod defaults;
mod doubts;
mod error;
mod executor;
pub mod experiment;
mod failure;
mod kept;
#[cfg(test)]
mod keys_page;
mod known_victim;
mod leftovers;
mod life_cycle;
mod listing;
mod misfit;
mod news;
mod open_error;
mod open_victim;
mod outcome;
mod overrides;
mod pictures;
mod plan;
mod plan_file;
mod pool;
mod price;
pub mod quickstart;
mod readings;
mod record;
mod recorder;
mod removal;
mod result;
mod run;
mod schedule;
mod slurm;
mod split;
mod start;
mod status;
mod store;
mod store_error;
mod task;
mod task_end;
mod task_file;
mod tasks;
mod thief_result;
mod weights;
mod words;
mod work;
mod workplace;

pub use answer_log::{AnswerLog, Question, Whose};
pub use ask_options::AskOptions;
pub use ask_recipe::{ASK_FORMAT, AskRecipe, Reach};
pub use audit_file::KeptAudit;
pub use calibration::Calibration;
pub use claim::{Claim, Holder};
pub use context::Context;
pub use cost::{Cost, Estimate, Passes, Rate, Shape};
pub use data_facts::{DataFacts, digest, published_facts};
pub use error::JobError;
pub use executor::{Executor, Local, Shared, Watch, Worker};
pub use failure::{Divergence, Failure};
pub use kept::Kept;
pub use life_cycle::JobEnd;
pub use listing::NamedRun;
pub use misfit::Misfit;
pub use news::NewsFiles;
pub use open_error::OpenError;
pub use open_victim::{
    FittedVictim, Opened, RECORDED_SET, class_tails, fit_victim, is_address, is_onnx, open_victim,
    open_victim_once,
};
pub use outcome::Outcome;
pub use overrides::{OverrideError, apply};
pub use plan::{Plan, Planned, State};
pub use plan_file::KeptPlan;
pub use price::price;
pub use readings::{Readings, at_chance, readings};
pub use record::{Findings, RECORD_FORMAT, Record, SingleRun, quoted};
pub use removal::Garbage;
pub use result::{
    AskResult, EmbeddingResult, InversionResult, Machine, Nastiness, PartResult, Picture, RESULT_FORMAT,
    ResponsesResult, RunResult, Verdict,
};
pub use run::Run;
pub use schedule::Terms;
pub use slurm::{Array, TimeLimit};
pub use start::{Head, head};
pub use status::{Counts, PlanStatus, Progress, TaskState, TaskStatus};
pub use store::{ListedRun, Store};
pub use store_error::StoreError;
pub use task::{Task, TaskKind};
pub use task_end::{Ended, Look, TaskEnd};
pub use thief_result::{Alike, ThiefResult};
pub use weights::{Fitted, KnownNormalisation, fit, load_network, network_folder};
pub use words::recipe_key;
pub use work::Work;
pub use workplace::{Workplace, normalisation_of};
