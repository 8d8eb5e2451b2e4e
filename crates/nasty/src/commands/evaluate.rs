//! `nasty evaluate`.

use super::asking::{AskingArgs, options};
use super::defences::DefenceArgs;
use super::place::{PlaceArgs, named};
use crate::failure::{CommandError, End, Result, Trouble};
use crate::signals::Stop;
use crate::ui;
use clap::Args;
use nasty_teacher::audit::{UserCost, user_cost};
use nasty_teacher::data::{ClassMap, DataName, DataSet};
use nasty_teacher::lab::{
    AskOptions, Misfit, Opened, RECORDED_SET, Readings, Workplace, at_chance, fit_victim, is_address,
    open_victim_once, readings,
};
use nasty_teacher::training::{Evaluation, ask_all, evaluate};
use nasty_teacher::victim::{Answers, LOG_FLOOR, Origin, Recording, Victim, record};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Arguments of `nasty evaluate`.
#[derive(Args)]
pub struct EvaluateArgs {
    /// A run's hash or folder, an imported network's folder, an ONNX file, a server's address, or recorded answers
    victim: String,
    /// Data set, such as cifar10; its test images are used
    #[arg(long, value_name = "NAME", value_parser = named::<DataName>)]
    data: DataName,
    /// Print counts, loss, calibration and every class as JSON
    #[arg(long)]
    json: bool,
    /// Write every answer by its image's SHA-256, as FILE.csv, .npz or .parquet; the file is a victim itself
    #[arg(long, visible_alias = "predictions", value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    defences: DefenceArgs,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    asking: AskingArgs,
}

/// Evaluates a victim on test images; one of our networks gets them normalised as its own configuration says. With defences,
/// says what they cost honest users.
pub fn run(args: &EvaluateArgs, stop: &Stop) -> Result<End> {
    // Before anything is asked.
    let recording = args.record.as_deref().map(|path| (path, Recording::of(path)));
    let recording = match recording {
        None => None,
        Some((path, Some(how))) => Some((path, how)),
        Some((path, None)) => {
            let what =
                format!("expected a name that ends in .csv, .npz or .parquet, found {}", path.display());
            return Err(Trouble::usage(what, None).into());
        }
    };
    // A server's answers are kept in the store.
    let workplace = if is_address(&args.victim) { args.place.open()? } else { args.place.look()? };
    let quiet = args.place.machine.quiet;
    let plain = args.asking.options()?;
    let how = args.defences.added(plain.clone(), Some(args.data.clone()));
    let opened = open_victim_once(&args.victim, &how, &workplace, &|| stop.requested())?;
    opened.notes.iter().for_each(|note| ui::say(quiet, note));
    let framing = opened.framing_for(&args.data);
    let data = workplace.data(&args.data, framing)?;
    if let Some(framing) = framing.filter(|_| data.train.has_photos()) {
        ui::say(quiet, &format!("pictures: {}, as the victim takes them", framing.in_words()));
    }
    let fitted = fit_victim(&opened.victim, &data).map_err(|e| misfit(args, &e))?;
    match (&fitted.note, &fitted.map) {
        // Never a wrong number without a word.
        (Some(note), ClassMap::ByPosition { .. }) => ui::say(false, &format!("warning: {note}")),
        (Some(note), _) => ui::say(quiet, note),
        (None, _) => {}
    }
    let before = opened.kept.as_ref().map_or(0, |kept| kept.spent());
    let clean = match &opened.undefended {
        Some(victim) => Some(asked(&fit_victim(victim, &data).map_err(|e| misfit(args, &e))?.victim, &data)?),
        None => None,
    };
    let served = asked(&fitted.victim, &data)?;
    if let Some(kept) = &opened.kept {
        let (spent, images) = (kept.spent(), data.test.len());
        let asked = spent - before;
        ui::say(
            quiet,
            &format!(
                "asked about {asked} of {images} images, the other answers were in the store; {spent} queries so far"
            ),
        );
    }
    if let Some((path, how)) = recording {
        record(path, how, &data.test, &data.classes, &served.0)?;
    }
    let of = |(answers, _): &(Answers, f64)| {
        evaluate(&answers.clone().log_rows(LOG_FLOOR), &data.test.labels, data.classes.len())
    };
    let result = of(&served);
    let cost = clean.as_ref().map(|clean| Cost::of(&served, clean, &data));
    if args.json {
        let mut json = serde_json::to_value(&result).expect("an evaluation is plain data");
        if let Some(note) = fitted.note {
            json["classes"] = note.into();
        }
        if let Some(cost) = &cost {
            json["defence"] = how.defence.to_string().into();
            json["cost"] = serde_json::to_value(&cost.users).expect("plain data");
            json["cost"]["clean_milliseconds"] = cost.clean_milliseconds.into();
        }
        ui::data(&serde_json::to_string_pretty(&json).expect("plain data"))?;
    } else {
        show(&result, &data)?;
        cost.iter().try_for_each(|cost| cost.show(&how.defence.to_string()))?;
    }
    let undefended = opened.undefended.clone().unwrap_or_else(|| opened.victim.clone());
    let opened = Opened { victim: undefended, ..opened };
    doubt(args, &plain, &opened, &clean.as_ref().map_or(result, of), &data, &workplace);
    Ok(End::Done)
}

/// The answers of `victim` to all test images, and milliseconds for each.
fn asked(victim: &Arc<dyn Victim>, data: &DataSet) -> Result<(Answers, f64)> {
    let places: Vec<usize> = (0..data.test.len()).collect();
    let begun = Instant::now();
    let answers = ask_all(&**victim, &data.test, Some(Origin { set: RECORDED_SET, places: &places }))?;
    Ok((answers, 1e3 * begun.elapsed().as_secs_f64() / data.test.len().max(1) as f64))
}

fn show(result: &Evaluation, data: &DataSet) -> Result<()> {
    ui::data(&format!(
        "{} of {} correct ({:.2} %), cross entropy {:.4}, calibration error {:.2} %",
        result.correct,
        result.total,
        100.0 * result.accuracy,
        result.loss,
        100.0 * result.calibration_error
    ))?;
    let width = data.classes.iter().map(|c| c.chars().count()).max().unwrap_or(0);
    for (class, (correct, total)) in data.classes.iter().zip(&result.per_class) {
        ui::data(&format!("  {class:<width$} {correct:>5} of {total}"))?;
    }
    Ok(())
}

/// What defences cost honest users.
struct Cost {
    users: UserCost,
    clean_milliseconds: f64,
}

impl Cost {
    fn of(served: &(Answers, f64), clean: &(Answers, f64), data: &DataSet) -> Self {
        fn rows((answers, _): &(Answers, f64)) -> (&[f32], nasty_teacher::victim::Scale) {
            (&answers.rows, answers.scale)
        }
        let (classes, labels) = (data.classes.len(), &data.test.labels);
        let users = user_cost(rows(served), Some(rows(clean)), classes, labels, Some(served.1));
        Self { users, clean_milliseconds: clean.1 }
    }

    fn show(&self, defence: &str) -> Result<()> {
        let UserCost { served, clean, l1, l1_max, top1_kept, milliseconds } = &self.users;
        ui::data(&format!("what {defence} costs honest users:"))?;
        ui::data(&format!("  {:<28} {:>9} {:>9}", "", "clean", "served"))?;
        let row = |name: &str, clean: Option<f64>, served: Option<f64>, digits: usize| {
            let number = |v: Option<f64>| v.map_or_else(String::new, |v| format!("{v:.digits$}"));
            ui::data(&format!("  {name:<28} {:>9} {:>9}", number(clean), number(served)))
        };
        let of = |quality: fn(&nasty_teacher::audit::Quality) -> f64| {
            (clean.as_ref().map(quality), Some(quality(served)))
        };
        let (before, after) = of(|q| 100.0 * q.accuracy);
        row("accuracy (%)", before, after, 2)?;
        row("same predicted class (%)", None, top1_kept.map(|kept| 100.0 * kept), 2)?;
        row("mean ‖clean − served‖₁", None, *l1, 4)?;
        row("largest ‖clean − served‖₁", None, *l1_max, 4)?;
        let (before, after) = of(|q| q.nll);
        row("negative log-likelihood", before, after, 4)?;
        let (before, after) = of(|q| q.brier);
        row("Brier score", before, after, 4)?;
        let (before, after) = of(|q| 100.0 * q.ece);
        row("calibration error (%)", before, after, 2)?;
        row("milliseconds an image", Some(self.clean_milliseconds), *milliseconds, 3)
    }
}

/// Says whether labelled images confirm what was guessed, and warns of an accuracy at chance.
fn doubt(
    args: &EvaluateArgs,
    how: &AskOptions,
    opened: &Opened,
    result: &Evaluation,
    data: &DataSet,
    workplace: &Workplace,
) {
    if at_chance(result, data.classes.len()) {
        ui::say(false, "warning: the accuracy is at chance: wrong layout, scale or class order?");
    }
    let found = readings(&args.victim, how, opened, data, workplace);
    let Some(Readings { images, guessed, others, better }) = found else { return };
    match better {
        Some((asking, right)) => {
            let options = options(&asking, &how.asking);
            ui::say(
                false,
                &format!(
                    "warning: what was guessed is probably wrong: {guessed} of {images} images are right so, {right} with {options}"
                ),
            );
        }
        None => ui::say(
            args.place.machine.quiet,
            &format!(
                "what was guessed is confirmed by {images} labelled images: none of {others} other readings is clearly better"
            ),
        ),
    }
}

fn misfit(args: &EvaluateArgs, error: &Misfit) -> CommandError {
    let help = miette::Diagnostic::help(error).map(|help| help.to_string());
    let text = format!("{} cannot be evaluated on {}: {error}", args.victim, args.data);
    Trouble::usage(text, help.as_deref()).into()
}
