//! `nasty train`, `nasty undermine`, `nasty distill`: each runs one recipe.

use super::from::{Typed, framing};
use super::place::{PlaceArgs, named};
use crate::failure::{CommandError, End, Result, Trouble};
use crate::signals::Stop;
use crate::ui::{self, Watcher};
use clap::Args;
use nasty_teacher::data::DataName;
use nasty_teacher::lab::defaults::{self, Kind};
use nasty_teacher::lab::{JobEnd, OverrideError, RunResult, Workplace, apply};
use nasty_teacher::nets::Architecture;
use nasty_teacher::training::{NetworkRef, Objective, Recipe, Start};

/// What every single recipe takes.
#[derive(Args)]
struct RecipeArgs {
    /// Data set: quickstart, cifar10, cifar100, tiny-imagenet, fashion-mnist, mnist or folder:PATH
    #[arg(long, value_name = "NAME", value_parser = named::<DataName>)]
    data: DataName,
    /// Network, such as resnet18; see `nasty networks` [default: that of --from]
    #[arg(long, value_name = "NAME", value_parser = named::<Architecture>, required_unless_present = "from")]
    architecture: Option<Architecture>,
    /// Begin with the weights of this network: a run's hash or folder, or an imported network's folder
    #[arg(long, value_name = "MODEL")]
    from: Option<String>,
    /// Leave the weights up to this stage as they are, such as layer2 or features.4
    #[arg(long, value_name = "STAGE", requires = "from")]
    freeze: Option<String>,
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
    #[arg(long, value_name = "RUN", required_unless_present = "from")]
    adversary: Option<String>,
    #[command(flatten)]
    recipe: RecipeArgs,
}

/// Arguments of `nasty distill`.
#[derive(Args)]
pub struct DistillArgs {
    /// The teacher to imitate: a run's hash or folder, or an imported network's folder
    #[arg(long, value_name = "RUN")]
    teacher: String,
    /// Learn the teacher's predicted classes only, not its probabilities
    #[arg(long)]
    hard_labels: bool,
    #[command(flatten)]
    recipe: RecipeArgs,
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
    carry_out(&args.recipe, &workplace, Kind::Train, None, stop)
}

/// Trains a nasty teacher.
pub fn undermine(args: &UndermineArgs, stop: &Stop) -> Result<End> {
    let workplace = args.recipe.workplace()?;
    let text = args.adversary.as_ref().or(args.recipe.from.as_ref());
    let text = text.expect("clap asks for one of both");
    let adversary = workplace.store.resolve(text)?;
    carry_out(&args.recipe, &workplace, Kind::Undermine(adversary), Some(text), stop)
}

/// Trains a student on a teacher's answers.
pub fn distill(args: &DistillArgs, stop: &Stop) -> Result<End> {
    let workplace = args.recipe.workplace()?;
    let teacher = workplace.store.resolve(&args.teacher)?;
    let kind = if args.hard_labels { Kind::HardLabel(teacher) } else { Kind::Distill(teacher) };
    carry_out(&args.recipe, &workplace, kind, Some(&args.teacher), stop)
}

/// Runs the recipe of `kind`; `asked` is the network that it asks, as it was typed.
fn carry_out(
    args: &RecipeArgs,
    workplace: &Workplace,
    kind: Kind,
    asked: Option<&str>,
    stop: &Stop,
) -> Result<End> {
    let quiet = args.place.machine.quiet;
    let recipe = resolve(args, workplace, kind, asked)?;
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
fn resolve(args: &RecipeArgs, workplace: &Workplace, kind: Kind, asked: Option<&str>) -> Result<Recipe> {
    let quiet = args.place.machine.quiet;
    let read = |text| Typed::read(text, &args.place, workplace);
    let from = args.from.as_deref().map(read).transpose()?;
    let architecture = match (args.architecture, &from) {
        (Some(typed), Some(from)) if typed != from.config.architecture => {
            let what =
                format!("--architecture is {typed}, but {} is a {}", from.text, from.config.architecture);
            return Err(Trouble::usage(what, Some("leave --architecture out")).into());
        }
        (Some(typed), _) => typed,
        (None, Some(from)) => from.config.architecture,
        (None, None) => unreachable!("clap asks for one of both"),
    };
    let other = if from.is_none() { asked.map(read).transpose()? } else { None };
    let network = from.as_ref().or(other.as_ref());
    let side = framing(&args.data, &args.changes, network, architecture, quiet);
    let (data, digest) = workplace.data_and_digest(&args.data, side)?;
    let mut recipe = defaults::for_data(args.data.clone(), &data, digest, architecture, kind);
    recipe.data.side = side;
    if let Some(from) = &from {
        let network: NetworkRef = workplace.store.resolve(from.text)?;
        let start = Start { network, freeze: args.freeze.clone() };
        recipe = defaults::fine_tuning(recipe, start, data.train.height);
        ui::say(quiet, &from.kept(&data.classes));
    }
    apply(recipe, &args.changes).map_err(|error| {
        let keys = matches!(error, OverrideError::Unknown { .. });
        CommandError::hinted(error, keys.then_some("--print-config shows all keys"))
    })
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
