//! `nasty train`, `nasty undermine`, `nasty distill`: each runs one recipe.

use super::place::{PlaceArgs, in_words, named, seconds_left};
use crate::failure::{CommandError, End, Result, Trouble};
use crate::signals::Stop;
use crate::ui::{self, Watcher};
use clap::Args;
use nasty_teacher::data::DataName;
use nasty_teacher::lab::defaults::{self, Kind};
use nasty_teacher::lab::{JobEnd, OverrideError, RunResult, Store, Task, Workplace, apply};
use nasty_teacher::nets::Architecture;
use nasty_teacher::training::{NetworkRef, Objective, Recipe};
use std::fs;
use std::path::{Path, PathBuf};

/// What every single recipe takes.
#[derive(Args)]
struct RecipeArgs {
    /// Data set: quickstart, cifar10, cifar100, tiny-imagenet, fashion-mnist, mnist or folder:PATH
    #[arg(long, value_name = "NAME", value_parser = named::<DataName>, required_unless_present = "config")]
    data: Option<DataName>,
    /// Network, such as resnet18; see `nasty networks`
    #[arg(long, value_name = "NAME", value_parser = named::<Architecture>, required_unless_present = "config")]
    architecture: Option<Architecture>,
    /// A whole recipe, as --print-config prints it or a run's recipe.json has it, in place of all other settings
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "architecture"])]
    config: Option<PathBuf>,
    /// Changes to the published recipe, such as epochs=3 data.subset=2000 schedule.kind=cosine
    #[arg(value_name = "KEY=VALUE")]
    changes: Vec<String>,
    /// Print the resolved recipe and stop
    #[arg(long)]
    print_config: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Arguments of `nasty train`.
#[derive(Args)]
pub struct TrainArgs {
    #[command(flatten)]
    recipe: RecipeArgs,
}

/// Arguments of `nasty undermine`.
#[derive(Args)]
pub struct UndermineArgs {
    /// The normally trained adversarial network: a run's hash or folder, or an imported network's folder
    #[arg(long, value_name = "RUN", required_unless_present = "config", conflicts_with = "config")]
    adversary: Option<String>,
    #[command(flatten)]
    recipe: RecipeArgs,
}

/// Arguments of `nasty distill`.
#[derive(Args)]
pub struct DistillArgs {
    /// The teacher to imitate: a run's hash or folder, or an imported network's folder
    #[arg(long, value_name = "RUN", required_unless_present = "config", conflicts_with = "config")]
    teacher: Option<String>,
    /// Learn the teacher's predicted classes only, not its probabilities
    #[arg(long)]
    hard_labels: bool,
    #[command(flatten)]
    recipe: RecipeArgs,
}

/// Trains a network by cross entropy.
pub fn train(args: &TrainArgs, stop: &Stop) -> Result<End> {
    carry_out(&args.recipe, stop, |_| Ok(Kind::Train))
}

/// Trains a nasty teacher.
pub fn undermine(args: &UndermineArgs, stop: &Stop) -> Result<End> {
    carry_out(&args.recipe, stop, |store| Ok(Kind::Undermine(victim(store, &args.adversary)?)))
}

/// Trains a student on a teacher's answers.
pub fn distill(args: &DistillArgs, stop: &Stop) -> Result<End> {
    carry_out(&args.recipe, stop, |store| {
        let teacher = victim(store, &args.teacher)?;
        Ok(if args.hard_labels { Kind::HardLabel(teacher) } else { Kind::Distill(teacher) })
    })
}

fn victim(store: &Store, named: &Option<String>) -> Result<NetworkRef> {
    Ok(store.resolve(named.as_deref().expect("required where there is no recipe"))?)
}

fn carry_out(args: &RecipeArgs, stop: &Stop, kind: impl FnOnce(&Store) -> Result<Kind>) -> Result<End> {
    let quiet = args.place.machine.quiet;
    // A recipe that is only printed makes no store.
    let workplace = if args.print_config { args.place.look()? } else { args.place.open()? };
    let recipe = match &args.config {
        Some(file) => read(file, &args.changes)?,
        None => published(args, &workplace, kind(&workplace.store)?)?,
    };
    if args.print_config {
        ui::data(&serde_json::to_string_pretty(&recipe).expect("a recipe is plain data"))?;
        return Ok(End::Done);
    }
    let hash = recipe.hash();
    let folder = workplace.store.run(&hash).folder;
    ui::say(quiet, &format!("run {hash} in {}", folder.display()));
    let task = Task::Train(recipe.clone());
    if let Some(time) = in_words(seconds_left(&workplace, [&task])?, &workplace) {
        ui::say(quiet, &format!("to do: {time}"));
    }
    let mut watcher = Watcher::new(&recipe.architecture.to_string(), recipe.epochs, quiet, stop.clone());
    let end = workplace.carry_out(&recipe, &mut watcher);
    watcher.finish();
    let JobEnd::Done(result) = end? else {
        ui::say(quiet, "stopped; the state is saved, the same command resumes");
        return Ok(End::Stopped);
    };
    if args.json {
        ui::data(&serde_json::to_string_pretty(&*result).expect("a result is plain data"))?;
    } else {
        ui::data(&describe(&recipe, &result))?;
    }
    ui::say(quiet, &format!("weights and metrics in {}", folder.display()));
    Ok(End::Done)
}

/// The recipe in `file` with what was typed changed.
fn read(file: &Path, changes: &[String]) -> Result<Recipe> {
    let text = fs::read_to_string(file)
        .map_err(|e| Trouble::data(format!("{}: the recipe cannot be read: {e}", file.display()), None))?;
    let recipe = Recipe::read(&text).map_err(|why| {
        let help = "`--print-config` prints a recipe, and every run keeps its own as recipe.json";
        Trouble::usage(format!("{}: expected a recipe: {why}", file.display()), Some(help))
    })?;
    apply(recipe, changes).map_err(hinted)
}

/// The published recipe with what was typed changed.
fn published(args: &RecipeArgs, workplace: &Workplace, kind: Kind) -> Result<Recipe> {
    let (Some(name), Some(architecture)) = (&args.data, args.architecture) else {
        unreachable!("required where there is no recipe")
    };
    // The size that a folder's images are resized to decides what its digest is of.
    let side =
        args.changes.iter().rev().find_map(|c| c.strip_prefix("data.side=")).and_then(|s| s.parse().ok());
    // A mistyped key is told before the data set is read, or even missed. Whether the recipe as a whole can run depends on the data.
    let unread = defaults::recipe(name.clone(), String::new(), architecture, kind.clone());
    match apply(unread, &args.changes) {
        Ok(_) | Err(OverrideError::Impossible(_)) => {}
        Err(error) => return Err(hinted(error)),
    }
    let (data, digest) = workplace.data_and_digest(name, side)?;
    let recipe = defaults::for_data(name.clone(), &data, digest, architecture, kind);
    apply(recipe, &args.changes).map_err(hinted)
}

/// What to type, where a key is unknown.
fn hinted(error: OverrideError) -> CommandError {
    let keys = matches!(error, OverrideError::Unknown { .. });
    CommandError::hinted(error, keys.then_some("--print-config shows all keys"))
}

/// The result in a few lines.
fn describe(recipe: &Recipe, result: &RunResult) -> String {
    let test = &result.test;
    let mut text = format!(
        "{} of {} test images correct ({:.2} %), cross entropy {:.3}, calibration error {:.1} %\n\
         epoch {} of {} kept, {:.0} s",
        test.correct,
        test.total,
        100.0 * test.accuracy,
        test.loss,
        100.0 * test.calibration_error,
        result.epoch + 1,
        recipe.epochs,
        result.seconds,
    );
    if let (Some(nastiness), Objective::SelfUndermining(_)) = (&result.nastiness, &recipe.objective) {
        text += &format!("\n{}", nastiness.explain(test, &recipe.objective));
    }
    text
}
