//! `nasty import`.

use crate::failure::{CommandError, End, Result, Trouble};
use crate::ui;
use clap::Args;
use nasty_teacher::data::Normalisation;
use nasty_teacher::device::device;
use nasty_teacher::lab::KnownNormalisation;
use nasty_teacher::nets::{Architecture, ImportError, ImportOptions, Imported, Side, import};
use std::path::PathBuf;

/// Arguments of `nasty import`.
#[derive(Args)]
pub struct ImportArgs {
    /// A file of torch.save (.pt, .pth, .th, .tar; zip, legacy or tar inside) or a safetensors file
    file: PathBuf,
    /// Folder to make: model.safetensors and config.json
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// Architecture [default: recognised from the tensors]
    #[arg(long, value_name = "NAME")]
    architecture: Option<Architecture>,
    /// Class count that the file must have [default: what it has]
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// Side of the images [default: from the tensors; where they do not show it, 224 for tv-… and timm-…, else 32, or 28 for grey images]
    #[arg(long, value_name = "PIXELS")]
    side: Option<usize>,
    /// Key of the state dictionary in the file [default: the only one of state_dict, model_state_dict, model, net]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Normalisation of the images: imagenet, none, cifar10, cifar100, tiny-imagenet, fashion-mnist or mnist
    /// [default: imagenet for tv-… and timm-…; else cifar10, tiny-imagenet for a side of 64, fashion-mnist for grey images]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["mean", "std"])]
    normalisation: Option<KnownNormalisation>,
    /// Mean of each channel, pixels being in 0..1, as 0.5,0.5,0.5
    #[arg(long, value_name = "M,…", value_delimiter = ',', requires = "std", allow_negative_numbers = true)]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel
    #[arg(long, value_name = "S,…", value_delimiter = ',', requires = "mean")]
    std: Option<Vec<f32>>,
    /// File with the names of the classes, one a line [default: their numbers]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// Imports weights.
pub fn run(args: &ImportArgs) -> Result<End> {
    let options = ImportOptions {
        architecture: args.architecture,
        classes: args.classes,
        side: args.side,
        key: args.key.clone(),
    };
    let labels = args.labels.as_ref().map(|path| {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|e| Trouble::usage(format!("cannot read {}: {e}", path.display()), None))?;
        Ok::<Vec<String>, Trouble>(text.lines().map(|line| line.trim().to_owned()).collect())
    });
    let labels = labels.transpose()?;
    let imported = import(&args.file, &options, &device("flex")?).map_err(hinted)?;
    let (normalisation, origin) = normalisation(args, &imported);
    let Normalisation { mean, std } = normalisation;
    let config = imported.save(&args.output, mean, std, labels).map_err(hinted)?;
    if args.json {
        let json =
            serde_json::json!({ "config": config, "report": imported.report, "normalisation": origin });
        ui::data(&serde_json::to_string_pretty(&json).expect("a report is plain data"))?;
        return Ok(End::Done);
    }
    ui::data(&describe(&imported, &origin))?;
    ui::data(&format!("mean {:?}, std {:?}", config.mean, config.std))?;
    ui::data(&format!("written to {}", args.output.display()))?;
    Ok(End::Done)
}

/// What to type, by what is wrong with the file.
fn hinted(error: ImportError) -> CommandError {
    let hint = match &error {
        ImportError::NoTensors { .. } | ImportError::SeveralStateDicts { .. } => {
            Some("--key says which dictionary of the file is meant")
        }
        ImportError::Unrecognised { .. } => Some("--key chooses another dictionary of the file"),
        ImportError::WrongArchitecture { .. } => Some("leave --architecture out to have it recognised"),
        ImportError::Ambiguous { .. } => Some("say which one with --architecture and --side"),
        ImportError::Other { .. } => Some("leave --classes out to take what the file has"),
        ImportError::Description { .. } => Some("see --normalisation, --mean and --std, and --labels"),
        _ => None,
    };
    CommandError::hinted(error, hint)
}

/// Mean and standard deviation, and where they are from.
fn normalisation(args: &ImportArgs, imported: &Imported) -> (Normalisation, String) {
    let input = imported.network.input();
    match (&args.mean, &args.std, &args.normalisation) {
        (Some(mean), Some(std), _) => {
            (Normalisation { mean: mean.clone(), std: std.clone() }, "given".into())
        }
        (.., Some(known)) => (known.values(input.channels), format!("{known}, as given")),
        _ => {
            let large = imported.network.architecture().usual_side() == 224;
            let known = if large && input.channels == 3 {
                KnownNormalisation::Imagenet
            } else {
                KnownNormalisation::assumed(input)
            };
            (
                known.values(input.channels),
                format!("{known}, assumed; --normalisation or --mean and --std say otherwise"),
            )
        }
    }
}

/// What was found, in a few lines.
fn describe(imported: &Imported, normalisation: &str) -> String {
    let (network, report) = (&imported.network, &imported.report);
    let input = network.input();
    let known = match report.side {
        Side::Read => "",
        Side::Given => " (side as given)",
        Side::Assumed => " (side assumed; --side says otherwise)",
    };
    let mut text = format!(
        "{}: {}, {} classes, {}×{side}×{side} images{known}\n{} tensors match, none missing, none left over; {} parameters",
        report.kind,
        network.architecture(),
        network.classes(),
        input.channels,
        report.matched,
        report.parameters,
        side = input.side,
    );
    if !report.prefix.is_empty() {
        text += &format!("\nnames without `{}`", report.prefix);
    }
    if let Some((from, to)) = report.renamed.first() {
        text += &format!("\n{} tensors renamed, such as {from} to {to}", report.renamed.len());
    }
    if report.counters + report.outside > 0 {
        text += &format!(
            "\nnot needed: {} batch counters, {} tensors beside the weights",
            report.counters, report.outside
        );
    }
    text + &format!("\nnormalisation: {normalisation}")
}
