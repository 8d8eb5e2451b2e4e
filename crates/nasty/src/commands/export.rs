//! `nasty export`.

use super::card::CardArgs;
use crate::failure::{End, Result, Trouble};
use crate::ui;
use clap::Args;
use nasty_teacher::device::device;
use nasty_teacher::lab::load_network;
use nasty_teacher::nets::export;
use std::path::PathBuf;

/// Arguments of `nasty export`.
#[derive(Args)]
pub struct ExportArgs {
    /// A network's folder, or a run's hash in the store
    network: String,
    /// File to write: NAME.safetensors (with a config.json beside it) or NAME.onnx
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Folder of the runs
    #[arg(long, default_value = "runs", value_name = "DIR")]
    store: PathBuf,
    #[command(flatten)]
    card: CardArgs,
}

/// Exports a network. The folder to write to is made if absent.
pub fn run(args: &ExportArgs) -> Result<End> {
    let (network, config) = load_network(&args.network, &args.store, &device("flex")?)?;
    let card = args.card.card(&args.network, &args.store, &config, &args.output)?;
    let folder = args.output.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).map_err(|e| Trouble::refused(folder.display(), &e))?;
    }
    let files = export(&args.output, &network, &config).inspect_err(|_| {
        // Nothing was written: an empty folder is not left behind.
        let _ = folder.map(std::fs::remove_dir);
    })?;
    let card = card.map(|card| card.write()).transpose()?;
    for file in files.into_iter().chain(card) {
        ui::data(&format!("written: {}", file.display()))?;
    }
    Ok(End::Done)
}
