//! `nasty evaluate`.

use super::place::{PlaceArgs, named};
use crate::failure::{End, Result, Trouble};
use crate::ui;
use clap::Args;
use nasty_teacher::data::{ClassMap, DataName};
use nasty_teacher::lab::{Fitted, fit, load_network, normalisation_of};
use nasty_teacher::training::{all_logits, evaluate};

/// Arguments of `nasty evaluate`.
#[derive(Args)]
pub struct EvaluateArgs {
    /// A run's hash or folder, or an imported network's folder
    network: String,
    /// Data set, such as cifar10; its test images are used
    #[arg(long, value_name = "NAME", value_parser = named::<DataName>)]
    data: DataName,
    /// Print counts, loss, calibration and every class as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Evaluates a network on test images, normalised as its own configuration says.
pub fn run(args: &EvaluateArgs) -> Result<End> {
    let workplace = args.place.look()?;
    let (network, config) = load_network(&args.network, &args.place.store, &workplace.device)?;
    let side = matches!(args.data, DataName::Folder(_)).then(|| config.framing());
    let data = workplace.data(&args.data, side)?;
    if let Some(framing) = side.filter(|_| data.train.has_photos()) {
        let text = format!("pictures: {}, as the network takes them", framing.in_words());
        ui::say(args.place.machine.quiet, &text);
    }
    let Fitted { network, config, map, note } =
        fit(network, config, &data, &workplace.device).map_err(|e| {
            let help = miette::Diagnostic::help(&e).map(|help| help.to_string());
            Trouble::usage(
                format!("{} cannot be evaluated on {}: {e}", args.network, args.data),
                help.as_deref(),
            )
        })?;
    let quiet = args.place.machine.quiet;
    match (&note, map) {
        // Never a wrong number without a word.
        (Some(note), ClassMap::ByPosition { .. }) => ui::say(false, &format!("warning: {note}")),
        (Some(note), _) => ui::say(quiet, note),
        (None, _) => {}
    }
    let images = &data.test;
    let logits = all_logits(&network, &normalisation_of(&config), images, &workplace.device);
    let result = evaluate(&logits, &images.labels, network.classes());
    if args.json {
        let mut json = serde_json::to_value(&result).expect("an evaluation is plain data");
        if let Some(note) = note {
            json["classes"] = note.into();
        }
        ui::data(&serde_json::to_string_pretty(&json).expect("plain data"))?;
        return Ok(End::Done);
    }
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
    Ok(End::Done)
}
