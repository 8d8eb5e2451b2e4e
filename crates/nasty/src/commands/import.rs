//! `nasty import`.

use super::place::named;
use crate::failure::{CommandError, End, Result, Trouble};
use crate::ui;
use clap::Args;
use nasty_teacher::data::Normalisation;
use nasty_teacher::device::device;
use nasty_teacher::lab::KnownNormalisation;
use nasty_teacher::nets::{Architecture, Check, ImportError, ImportOptions, Imported, Side, check, import};
use std::path::PathBuf;

/// Arguments of `nasty import`.
#[derive(Args)]
pub struct ImportArgs {
    /// A file of torch.save (.pt, .pth, .th, .ckpt, .tar; zip, legacy or tar inside), a safetensors file, or a folder
    /// that holds one; a config.json beside it is read
    #[arg(value_name = "FILE_OR_FOLDER")]
    file: PathBuf,
    /// Folder to make: model.safetensors and config.json
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// Architecture [default: recognised from the tensors]
    #[arg(long, value_name = "NAME", value_parser = named::<Architecture>)]
    architecture: Option<Architecture>,
    /// Number of classes that the file must have [default: any]
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// Side of the images [default: from the tensors or a config.json; else 224 for tv-… and timm-…, else 32, or 28 for grey images]
    #[arg(long, value_name = "PIXELS")]
    side: Option<usize>,
    /// Key or prefix of the weights in the file, such as state_dict.student [default: the one that holds a whole network]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Normalisation of the images: imagenet, none, cifar10, cifar100, tiny-imagenet, fashion-mnist or mnist
    /// [default: what the file or a config.json says; else imagenet for tv-… and timm-…; else cifar10, tiny-imagenet for a side of
    /// 64, fashion-mnist for grey images]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["mean", "std"])]
    normalisation: Option<KnownNormalisation>,
    /// Mean of each channel for pixels in 0..1, such as 0.5,0.5,0.5
    #[arg(long, value_name = "M,…", value_delimiter = ',', requires = "std", allow_negative_numbers = true)]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel
    #[arg(long, value_name = "S,…", value_delimiter = ',', requires = "mean")]
    std: Option<Vec<f32>>,
    /// File with the names of the classes, one a line, in the order of the logits [default: what the file or a
    /// config.json says; else their numbers]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Confirm the network by an archive of numpy arrays: `images` [N, H, W, C] or [N, C, H, W] (bytes, or numbers in
    /// 0..1, or normalised numbers), and `logits` [N, classes] or `labels` [N]
    #[arg(long, value_name = "FILE.npz")]
    check: Option<PathBuf>,
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
        let text = text.map_err(|e| Trouble::refused(format!("cannot read {}", path.display()), &e))?;
        // A line behind the last name names nothing.
        let names = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
        Ok::<Vec<String>, Trouble>(names)
    });
    let labels = labels.transpose()?;
    let device = device("flex")?;
    let mut imported = import(&args.file, &options, &device).map_err(hinted)?;
    let (normalisation, origin) = normalisation(args, &mut imported);
    let (labels, named) = match (labels, imported.known.labels.take()) {
        (Some(labels), _) => (Some(labels), "as given".to_owned()),
        (None, Some((labels, place))) => (Some(labels), format!("from {place}")),
        (None, None) => (None, "unknown, numbered instead; name them with --labels".to_owned()),
    };
    let Normalisation { mean, std } = normalisation;
    let checked = match &args.check {
        None => None,
        Some(path) => {
            imported.describe(mean.clone(), std.clone(), labels.clone()).map_err(hinted)?;
            let checked = check(path, &imported.network, &mean, &std, &device)?;
            if !checked.confirmed {
                return Err(ImportError::Refuted { path: args.file.clone(), figures: checked.told() }.into());
            }
            Some(checked)
        }
    };
    let config = imported.save(&args.output, mean, std, labels).map_err(hinted)?;
    if args.json {
        let json = serde_json::json!({
            "config": config, "report": imported.report, "normalisation": origin, "labels": named, "check": checked,
        });
        ui::data(&serde_json::to_string_pretty(&json).expect("a report is plain data"))?;
        return Ok(End::Done);
    }
    ui::data(&describe(&imported, &origin, &named))?;
    ui::data(&format!("mean {:?}, std {:?}", config.mean, config.std))?;
    if let Some((framing, place)) = &imported.known.framing {
        ui::data(&format!("pictures of another size: {} (from {place})", framing.in_words()))?;
    }
    ui::data(&confirmation(checked.as_ref()))?;
    for warning in &imported.report.warnings {
        ui::data(&format!("warning: {warning}"))?;
    }
    ui::data(&format!("written to {}", args.output.display()))?;
    Ok(End::Done)
}

/// Whether the network is known to compute what it should.
fn confirmation(checked: Option<&Check>) -> String {
    match checked {
        Some(checked) => format!("confirmed: {}", checked.told()),
        None => "not confirmed: shapes do not show strides, pooling and activations; \
                 --check images.npz or the accuracy that `nasty evaluate` gives confirms them"
            .to_owned(),
    }
}

/// What to type, by what is wrong with the file.
fn hinted(error: ImportError) -> CommandError {
    let hint = match &error {
        ImportError::NoTensors { .. } | ImportError::SeveralStateDicts { .. } => {
            Some("choose a dictionary of the file with --key")
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
fn normalisation(args: &ImportArgs, imported: &mut Imported) -> (Normalisation, String) {
    let input = imported.network.input();
    let given = match (&args.mean, &args.std, &args.normalisation) {
        (Some(mean), Some(std), _) => {
            Some((Normalisation { mean: mean.clone(), std: std.clone() }, "as given".to_owned()))
        }
        (.., Some(known)) => Some((known.values(input.channels), format!("{known}, as given"))),
        _ => None,
    };
    match (given, imported.known.normalisation.take()) {
        (Some(given), Some((mean, std, place))) => {
            let differs = |a: &[f32], b: &[f32]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-4);
            if differs(&given.0.mean, &mean) || differs(&given.0.std, &std) {
                imported
                    .report
                    .warnings
                    .push(format!("{place} says mean {mean:?} and std {std:?}; the given ones were used"));
            }
            given
        }
        (Some(given), None) => given,
        (None, Some((mean, std, place))) => (Normalisation { mean, std }, format!("from {place}")),
        (None, None) => {
            let large = imported.network.architecture().usual_side() == 224;
            let known = match large && input.channels == 3 {
                true => KnownNormalisation::Imagenet,
                false => KnownNormalisation::assumed(input),
            };
            let origin = format!("{known}, assumed; change it with --normalisation or --mean and --std");
            (known.values(input.channels), origin)
        }
    }
}

/// What was found, in a few lines.
fn describe(imported: &Imported, normalisation: &str, labels: &str) -> String {
    let (network, report) = (&imported.network, &imported.report);
    let input = network.input();
    let known = match report.side {
        Side::Read => "",
        Side::Given => " (side as given)",
        Side::Described => " (side as described)",
        Side::Assumed => " (side assumed; change it with --side)",
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
        text += &format!("\nprefix removed from the names: `{}`", report.prefix);
    }
    if let Some((from, to)) = report.renamed.first() {
        text += &format!("\n{} tensors renamed, such as {from} to {to}", report.renamed.len());
    }
    let count = |n: usize, what: &str| match n {
        0 => None,
        1 => Some(format!("1 {what}")),
        _ => Some(format!("{n} {what}s")),
    };
    let unused = [count(report.counters, "batch counter"), count(report.outside, "other tensor")];
    let unused: Vec<String> = unused.into_iter().flatten().collect();
    if !unused.is_empty() {
        text += &format!("\nnot needed: {}", unused.join(", "));
    }
    const SHOWN: usize = 8;
    if !report.passed_over.is_empty() {
        let shown = report.passed_over.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = report.passed_over.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        text += &format!("\nskipped, not executed: {shown}{more}");
    }
    if !report.also.is_empty() {
        text += &format!("\nother networks in the file: {} (--key chooses)", report.also.join(", "));
    }
    text + &format!("\nclasses: {labels}\nnormalisation: {normalisation}")
}
