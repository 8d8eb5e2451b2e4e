//! `nasty train`, `nasty undermine`, `nasty distill`: each runs one recipe.

use super::asking::AskingArgs;
use super::from::{Typed, framing};
use super::place::{PlaceArgs, in_words, named, seconds_left};
use crate::failure::{CommandError, End, Result, Trouble};
use crate::signals::Stop;
use crate::ui::{self, Watcher};
use clap::Args;
use nasty_teacher::data::DataName;
use nasty_teacher::lab::defaults::{self, Kind};
use nasty_teacher::lab::{JobEnd, OverrideError, RunResult, Task, Workplace, apply, is_address, is_onnx};
use nasty_teacher::nets::Architecture;
use nasty_teacher::training::{Objective, Recipe, Start};
use std::fs;
use std::path::{Path, PathBuf};

/// What every single recipe takes.
#[derive(Args)]
struct RecipeArgs {
    /// Data set: quickstart, cifar10, cifar100, tiny-imagenet, fashion-mnist, mnist or folder:PATH
    #[arg(long, value_name = "NAME", value_parser = named::<DataName>, required_unless_present = "config")]
    data: Option<DataName>,
    /// Network, such as resnet18; see `nasty networks` [default: that of --from]
    #[arg(long, value_name = "NAME", value_parser = named::<Architecture>, required_unless_present_any = ["config", "from"])]
    architecture: Option<Architecture>,
    /// Begin with the weights of this network: a run's hash or folder, or an imported network's folder
    #[arg(long, value_name = "MODEL")]
    from: Option<String>,
    /// Leave the weights up to this stage as they are, such as layer2 or features.4
    #[arg(long, value_name = "STAGE", requires = "from")]
    freeze: Option<String>,
    /// A whole recipe, as --print-config prints it or a run's recipe.json has it, in place of all other settings
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "architecture", "from", "freeze"])]
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
    /// [default: that of --from]
    #[arg(long, value_name = "RUN", required_unless_present_any = ["config", "from"], conflicts_with = "config")]
    adversary: Option<String>,
    #[command(flatten)]
    recipe: RecipeArgs,
}

/// Arguments of `nasty distill`.
#[derive(Args)]
pub struct DistillArgs {
    /// The teacher to imitate: a run's hash or folder, an imported network's folder, an ONNX file, or a server's address
    #[arg(long, value_name = "VICTIM", required_unless_present = "config", conflicts_with = "config")]
    teacher: Option<String>,
    /// Learn the teacher's predicted classes only, not its probabilities
    #[arg(long, conflicts_with = "config")]
    hard_labels: bool,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    asking: AskingArgs,
}

/// Trains a network by cross entropy.
pub fn train(args: &TrainArgs, stop: &Stop) -> Result<End> {
    carry_out(&args.recipe, stop, "train", None, |_| Ok(Kind::Train))
}

/// Trains a nasty teacher.
pub fn undermine(args: &UndermineArgs, stop: &Stop) -> Result<End> {
    let adversary = args.adversary.as_deref().or(args.recipe.from.as_deref());
    carry_out(&args.recipe, stop, "undermine", adversary, |workplace| {
        Ok(Kind::Undermine(workplace.store.resolve(given(adversary))?))
    })
}

/// Trains a student on a teacher's answers.
pub fn distill(args: &DistillArgs, stop: &Stop) -> Result<End> {
    let teacher = args.teacher.as_deref();
    let how = args.asking.options()?;
    if args.recipe.config.is_some() {
        let unused = [how.asking.said(), how.http.said()].concat();
        if !unused.is_empty() {
            let what = format!(
                "--config names a teacher that is asked as when the recipe was made, but {} is given",
                unused.join(", ")
            );
            return Err(
                Trouble::usage(what, Some("leave it out, or give --teacher in place of --config")).into()
            );
        }
    }
    // A foreign victim says nothing about how a student takes images.
    let network = teacher.filter(|teacher| !is_onnx(teacher) && !is_address(teacher));
    carry_out(&args.recipe, stop, "distill", network, |workplace| {
        let (teacher, notes) = workplace.teacher(given(teacher), &how)?;
        notes.iter().for_each(|note| ui::say(args.recipe.place.machine.quiet, note));
        Ok(if args.hard_labels { Kind::HardLabel(teacher) } else { Kind::Distill(teacher) })
    })
}

fn given(named: Option<&str>) -> &str {
    named.expect("required where there is no recipe")
}

/// Runs the recipe of `command`; `asked` is the network that it asks, as it was typed.
fn carry_out(
    args: &RecipeArgs,
    stop: &Stop,
    command: &str,
    asked: Option<&str>,
    kind: impl FnOnce(&Workplace) -> Result<Kind>,
) -> Result<End> {
    let quiet = args.place.machine.quiet;
    // A recipe that is only printed makes no store.
    let workplace = if args.print_config { args.place.look()? } else { args.place.open()? };
    let recipe = match &args.config {
        Some(file) => read(file, command, &args.changes)?,
        None => published(args, &workplace, kind(&workplace)?, asked)?,
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

/// The recipe of `command` in `file` with what was typed changed.
fn read(file: &Path, command: &str, changes: &[String]) -> Result<Recipe> {
    let text = fs::read_to_string(file)
        .map_err(|e| Trouble::data(format!("{}: the recipe cannot be read: {e}", file.display()), None))?;
    let recipe = Recipe::read(&text).map_err(|why| {
        let help = "`--print-config` prints a recipe, and every run keeps its own as recipe.json";
        Trouble::usage(format!("{}: expected a recipe: {why}", file.display()), Some(help))
    })?;
    let needed = match &recipe.objective {
        Objective::CrossEntropy(_) => "train",
        Objective::SelfUndermining(_) => "undermine",
        _ => "distill",
    };
    if needed != command {
        let what = format!("{} is a recipe of `nasty {needed}`, not of `nasty {command}`", file.display());
        return Err(Trouble::usage(what, None).into());
    }
    apply(recipe, changes).map_err(hinted)
}

/// The published recipe with what was typed changed.
fn published(args: &RecipeArgs, workplace: &Workplace, kind: Kind, asked: Option<&str>) -> Result<Recipe> {
    let quiet = args.place.machine.quiet;
    let Some(name) = &args.data else { unreachable!("required where there is no recipe") };
    let typed = |text| Typed::read(text, &args.place, workplace);
    let from = args.from.as_deref().map(typed).transpose()?;
    let architecture = match (args.architecture, &from) {
        (Some(typed), Some(from)) if typed != from.config.architecture => {
            let what =
                format!("--architecture is {typed}, but {} is a {}", from.text, from.config.architecture);
            return Err(Trouble::usage(what, Some("leave --architecture out")).into());
        }
        (Some(typed), _) => typed,
        (None, Some(from)) => from.config.architecture,
        (None, None) => unreachable!("required where there is no recipe and no start"),
    };
    let start = match &from {
        Some(from) => {
            let network = workplace.store.resolve(from.text)?;
            Some(Start { network, freeze: args.freeze.clone() })
        }
        None => None,
    };
    let begun = |recipe, side| match &start {
        Some(start) => defaults::fine_tuning(recipe, start.clone(), side),
        None => recipe,
    };
    // A mistyped key is told before the data set is read, or even missed. Whether the recipe as a whole can run depends on the data.
    let unread = begun(defaults::recipe(name.clone(), String::new(), architecture, kind.clone()), 0);
    match apply(unread, &args.changes) {
        Ok(_) | Err(OverrideError::Impossible(_)) => {}
        Err(error) => return Err(hinted(error)),
    }
    // The size that a folder's images are resized to decides what its digest is of.
    let other = if from.is_none() { asked.map(typed).transpose()? } else { None };
    let side = framing(name, &args.changes, from.as_ref().or(other.as_ref()), architecture, quiet);
    let (data, digest) = workplace.data_and_digest(name, side)?;
    let mut recipe = defaults::for_data(name.clone(), &data, digest, architecture, kind);
    recipe.data.side = side;
    if let Some(from) = &from {
        ui::say(quiet, &from.kept(&data.classes));
    }
    apply(begun(recipe, data.train.height), &args.changes).map_err(hinted)
}

/// What to type, where a key is unknown.
fn hinted(error: OverrideError) -> CommandError {
    let keys = matches!(error, OverrideError::Unknown { .. });
    CommandError::hinted(error, keys.then_some("--print-config shows all keys"))
}

/// The result in a few lines.
fn describe(recipe: &Recipe, result: &RunResult) -> String {
    let test = &result.test;
    let kept = match result.start_kept {
        true => "every epoch lost too much accuracy: the weights of the start were kept".to_owned(),
        false => format!("epoch {} of {} kept", result.epoch + 1, recipe.epochs),
    };
    let mut text = format!(
        "{} of {} test images correct ({:.2} %), cross entropy {:.3}, calibration error {:.1} %\n\
         {kept}, {:.0} s",
        test.correct,
        test.total,
        100.0 * test.accuracy,
        test.loss,
        100.0 * test.calibration_error,
        result.seconds,
    );
    if let (Some(nastiness), Objective::SelfUndermining(_)) = (&result.nastiness, &recipe.objective) {
        text += &format!("\n{}", nastiness.explain(test, &recipe.objective));
    }
    text
}
