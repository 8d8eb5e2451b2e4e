//! `nasty train`, `nasty undermine`, `nasty distill`: each runs one recipe.

use super::asking::AskingArgs;
use super::place::{PlaceArgs, named};
use crate::failure::{CommandError, End, Result};
use crate::signals::Stop;
use crate::ui::{self, Watcher};
use clap::Args;
use nasty_teacher::data::DataName;
use nasty_teacher::lab::defaults::{self, Kind};
use nasty_teacher::lab::{JobEnd, OverrideError, RunResult, Workplace, apply};
use nasty_teacher::nets::Architecture;
use nasty_teacher::training::{Objective, Recipe};

/// What every single recipe takes.
#[derive(Args)]
struct RecipeArgs {
    /// Data set: quickstart, cifar10, cifar100, tiny-imagenet, fashion-mnist, mnist or folder:PATH
    #[arg(long, value_name = "NAME", value_parser = named::<DataName>)]
    data: DataName,
    /// Network, such as resnet18; see `nasty networks`
    #[arg(long, value_name = "NAME", value_parser = named::<Architecture>)]
    architecture: Architecture,
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
    #[arg(long, value_name = "RUN")]
    adversary: String,
    #[command(flatten)]
    recipe: RecipeArgs,
}

/// Arguments of `nasty distill`.
#[derive(Args)]
pub struct DistillArgs {
    /// The teacher to imitate: a run's hash or folder, an imported network's folder, an ONNX file, or a server's address
    #[arg(long, value_name = "VICTIM")]
    teacher: String,
    /// Learn the teacher's predicted classes only, not its probabilities
    #[arg(long)]
    hard_labels: bool,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    asking: AskingArgs,
}

impl RecipeArgs {
    /// The workplace; its store is made if absent, unless the recipe is only printed.
    fn workplace(&self) -> Result<Workplace> {
        if self.print_config { self.place.look() } else { self.place.open() }
    }
}

/// Trains a network by cross entropy.
pub fn train(args: &TrainArgs, stop: &Stop) -> Result<End> {
    let workplace = args.recipe.workplace()?;
    carry_out(&args.recipe, &workplace, Kind::Train, stop)
}

/// Trains a nasty teacher.
pub fn undermine(args: &UndermineArgs, stop: &Stop) -> Result<End> {
    let workplace = args.recipe.workplace()?;
    let adversary = workplace.store.resolve(&args.adversary)?;
    carry_out(&args.recipe, &workplace, Kind::Undermine(adversary), stop)
}

/// Trains a student on a teacher's answers.
pub fn distill(args: &DistillArgs, stop: &Stop) -> Result<End> {
    let workplace = args.recipe.workplace()?;
    let how = args.asking.options()?;
    let (teacher, notes) = workplace.teacher(&args.teacher, &how)?;
    notes.iter().for_each(|note| ui::say(args.recipe.place.machine.quiet, note));
    let kind = if args.hard_labels { Kind::HardLabel(teacher) } else { Kind::Distill(teacher) };
    carry_out(&args.recipe, &workplace, kind, stop)
}

fn carry_out(args: &RecipeArgs, workplace: &Workplace, kind: Kind, stop: &Stop) -> Result<End> {
    let quiet = args.place.machine.quiet;
    let recipe = resolve(args, workplace, kind)?;
    if args.print_config {
        ui::data(&serde_json::to_string_pretty(&recipe).expect("a recipe is plain data"))?;
        return Ok(End::Done);
    }
    let hash = recipe.hash();
    let folder = workplace.store.run(&hash).folder;
    ui::say(quiet, &format!("run {hash} in {}", folder.display()));
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

/// The published recipe with what was typed changed.
fn resolve(args: &RecipeArgs, workplace: &Workplace, kind: Kind) -> Result<Recipe> {
    // The size that a folder's images are resized to decides what its digest is of.
    let side =
        args.changes.iter().rev().find_map(|c| c.strip_prefix("data.side=")).and_then(|s| s.parse().ok());
    let (data, digest) = workplace.data_and_digest(&args.data, side)?;
    let recipe = defaults::for_data(args.data.clone(), &data, digest, args.architecture, kind);
    apply(recipe, &args.changes).map_err(|error| {
        let keys = matches!(error, OverrideError::Unknown { .. });
        CommandError::hinted(error, keys.then_some("--print-config shows all keys"))
    })
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
