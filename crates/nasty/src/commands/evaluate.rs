//! `nasty evaluate`.

use super::place::PlaceArgs;
use crate::failure::{End, Result, Trouble};
use crate::ui;
use clap::Args;
use nasty_teacher::data::DataName;
use nasty_teacher::lab::{load_network, normalisation_of};
use nasty_teacher::training::{all_logits, evaluate};

/// Arguments of `nasty evaluate`.
#[derive(Args)]
pub struct EvaluateArgs {
    /// A run's hash or folder, or an imported network's folder
    network: String,
    /// Data set, such as cifar10; its test images are used
    #[arg(long, value_name = "NAME")]
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
    let input = network.input();
    let side = matches!(args.data, DataName::Folder(_)).then_some(input.side);
    let data = workplace.data(&args.data, side)?;
    let images = &data.test;
    if (images.channels, images.height, data.classes.len()) != (input.channels, input.side, network.classes())
    {
        let message = format!(
            "the network takes {} channels of {side}×{side} and tells {} classes apart; {} has {} channels of {}×{} and {} classes",
            input.channels,
            network.classes(),
            args.data,
            images.channels,
            images.height,
            images.width,
            data.classes.len(),
            side = input.side,
        );
        return Err(
            Trouble::usage(message, Some("give the data set that the network was trained for")).into()
        );
    }
    let logits = all_logits(&network, &normalisation_of(&config), images, &workplace.device);
    let result = evaluate(&logits, &images.labels, network.classes());
    if args.json {
        ui::data(&serde_json::to_string_pretty(&result).expect("an evaluation is plain data"))?;
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
