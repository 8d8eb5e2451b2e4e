//! `nasty work`.

use super::place::PlaceArgs;
use crate::failure::{End, Result};
use crate::signals::Stop;
use crate::ui::{self, Watcher};
use clap::Args;
use nasty_teacher::lab::{Ended, Store};

/// Arguments of `nasty work`.
#[derive(Args)]
pub struct WorkArgs {
    /// The task's hash, or its first digits
    #[arg(value_name = "HASH")]
    task: String,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Carries out one task of a store. What comes of it, a result or a failure, stands in the store alone.
pub fn run(args: &WorkArgs, stop: &Stop) -> Result<End> {
    let quiet = args.place.machine.quiet;
    let task = Store::look(&args.place.store).task(&args.task)?;
    let workplace = args.place.open()?;
    let name = format!("{} {}", task.kind(), task.hash());
    let mut watcher = Watcher::new(&name, task.length(), quiet, stop.clone());
    let end = workplace.perform(&task, &mut watcher);
    watcher.finish();
    match end? {
        Ended::Done => Ok(End::Done),
        Ended::Stopped => {
            ui::say(quiet, "stopped; the state is saved, the same command resumes");
            Ok(End::Stopped)
        }
    }
}
