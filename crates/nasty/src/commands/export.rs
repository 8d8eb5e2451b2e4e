//! `nasty export`.

use super::asking::PixelArgs;
use super::card::CardArgs;
use super::place::{MachineArgs, named};
use crate::failure::{End, Result, Trouble};
use crate::ui;
use clap::Args;
use nasty_teacher::data::DataName;
use nasty_teacher::defences::{Need, Stack};
use nasty_teacher::device::device;
use nasty_teacher::export::{ExportError, GraphInputs, defend_onnx, export, export_defended};
use nasty_teacher::lab::{AskOptions, Store, class_tails, is_onnx, load_network, open_victim};
use nasty_teacher::victim::{Asking, Scale};
use std::path::{Path, PathBuf};

/// Arguments of `nasty export`.
#[derive(Args)]
pub struct ExportArgs {
    /// A network's folder, or a run's hash in the store; with a defence also an ONNX file
    network: String,
    /// File to write: NAME.safetensors (with a config.json beside it) or NAME.onnx
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Defences that become part of the ONNX file, such as temperature:2+flat-tail
    #[arg(long, value_name = "STACK", value_parser = named::<Stack>)]
    defence: Option<Stack>,
    /// Data set of the owner, whose training images make the table of a class tail
    #[arg(long, value_name = "NAME", value_parser = named::<DataName>, requires = "defence")]
    data: Option<DataName>,
    /// Margin clipping: the value in an ONNX file that holds a proxy's change of logits, [batch, classes]
    #[arg(long, value_name = "VALUE", requires = "defence")]
    proxy_shift: Option<String>,
    /// What an ONNX file answers, where it does not show it: logits or probabilities
    #[arg(long, value_name = "KIND", value_parser = scale, requires = "defence")]
    answers: Option<Scale>,
    /// Folder of the runs
    #[arg(long, default_value = "runs", value_name = "DIR")]
    store: PathBuf,
    #[command(flatten)]
    card: CardArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    pixels: PixelArgs,
}

fn scale(text: &str) -> std::result::Result<Scale, String> {
    match text {
        "logits" => Ok(Scale::Logits),
        "probabilities" => Ok(Scale::Probabilities),
        _ => Err("expected logits or probabilities".into()),
    }
}

/// Exports a network. The folder to write to is made if absent.
pub fn run(args: &ExportArgs) -> Result<End> {
    let asking = Asking { output: args.answers, ..args.pixels.asking() };
    let mut unused = asking.said();
    unused.extend(args.proxy_shift.as_ref().map(|_| "proxy-shift"));
    if !is_onnx(&args.network) && !unused.is_empty() {
        let what = format!(
            "{} is a network of this program, with no proxy in it; how it is asked stands in its config.json",
            args.network
        );
        return Err(Trouble::usage(what, Some(&format!("leave out {}", unused.join(", ")))).into());
    }
    let Some(stack) = &args.defence else {
        if is_onnx(&args.network) {
            let help = "give the defences that it is to carry with --defence";
            return Err(Trouble::usage(format!("{} is exported already", args.network), Some(help)).into());
        }
        let (network, config) = load_network(&args.network, &args.store, &device("flex")?)?;
        let card = args.card.card(&args.network, &args.store, &config, &args.output)?;
        let files = in_folder(&args.output, || export(&args.output, &network, &config))?;
        let card = card.map(|card| card.write()).transpose()?;
        return told(files.into_iter().chain(card));
    };
    let workplace = args.machine.at(Store::look(&args.store))?;
    let tails = || {
        if !stack.needs().contains(&Need::ClassTails) {
            return Ok(None);
        }
        let data = args.data.as_ref().ok_or_else(|| {
            Trouble::usage(
                "`class-tail` needs the owner's own images, found none",
                Some("give the data set that the victim was trained on with --data"),
            )
        })?;
        let how = AskOptions { asking: asking.clone(), ..AskOptions::default() };
        let opened = open_victim(&args.network, &how, &workplace)?;
        Ok::<_, crate::failure::CommandError>(Some(class_tails(&opened, data, &workplace)?))
    };
    if is_onnx(&args.network) {
        if args.card.is_wanted() {
            let help = "leave out --card";
            return Err(Trouble::usage("a card describes a network of this program", Some(help)).into());
        }
        let tails = tails()?;
        let how = AskOptions { asking: asking.clone(), ..AskOptions::default() };
        let opened = open_victim(&args.network, &how, &workplace)?;
        opened.notes.iter().for_each(|note| ui::say(args.machine.quiet, note));
        let probabilities = opened.victim.scale() == Scale::Probabilities;
        let model = Path::new(&args.network);
        let inputs = GraphInputs { class_tails: tails.as_ref(), proxy_shift: args.proxy_shift.as_deref() };
        return told(in_folder(&args.output, || {
            defend_onnx(model, probabilities, stack, inputs, &args.output)
        })?);
    }
    let (network, config) = load_network(&args.network, &args.store, &workplace.device)?;
    let tails = tails()?;
    let card = args.card.card(&args.network, &args.store, &config, &args.output)?;
    let files =
        in_folder(&args.output, || export_defended(&args.output, &network, &config, stack, tails.as_ref()))?;
    let card = card.map(|card| card.write()).transpose()?;
    told(files.into_iter().chain(card))
}

/// What `write` writes to `output`, whose folder is made if absent, and not left behind if nothing was written.
fn in_folder(
    output: &Path,
    write: impl FnOnce() -> std::result::Result<Vec<PathBuf>, ExportError>,
) -> Result<Vec<PathBuf>> {
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).map_err(|e| Trouble::refused(folder.display(), &e))?;
    }
    Ok(write().inspect_err(|_| {
        let _ = folder.map(std::fs::remove_dir);
    })?)
}

fn told(files: impl IntoIterator<Item = PathBuf>) -> Result<End> {
    for file in files {
        ui::data(&format!("written: {}", file.display()))?;
    }
    Ok(End::Done)
}
