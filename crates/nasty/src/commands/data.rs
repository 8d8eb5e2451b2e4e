//! `nasty data list|get|check`.

use super::place::named;
use crate::failure::{CommandError, End, Result, Trouble};
use crate::signals::Stop;
use crate::ui::{self, Transfer};
use clap::{Args, Subcommand};
use nasty_teacher::data::fetch::{Fetched, fetch};
use nasty_teacher::data::inventory::{Certainty, Checked, Listed, check, list};
use nasty_teacher::data::{DataError, DataName, DataRoots, Framing};
use std::path::PathBuf;

/// Arguments of `nasty data`.
#[derive(Args)]
pub struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
    /// Folder of the data sets [default: NASTY_DATA_DIR, else ~/.cache/nasty-teacher/datasets]
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum DataCommand {
    /// List the data sets: what they are, where they were found, their terms
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Download data sets, verify and unpack them; the same command resumes an interrupted download
    Get {
        /// Data sets, such as cifar10
        #[arg(required = true, value_name = "NAME", value_parser = named::<DataName>)]
        names: Vec<DataName>,
        /// Address of a folder that has the published files, instead of the published address
        #[arg(long, value_name = "URL")]
        from: Option<String>,
        /// Show no progress and no messages
        #[arg(long, short)]
        quiet: bool,
    },
    /// Read data sets whole, compare them with the published ones, count the images of every class
    Check {
        /// Data sets, also folder:PATH [default: all that were found]
        #[arg(value_name = "NAME", value_parser = named::<DataName>)]
        names: Vec<DataName>,
        /// Side of the squares that the pictures of a folder become: 224, or 256/224 for a wider margin
        #[arg(long, value_name = "N", value_parser = named::<Framing>)]
        side: Option<Framing>,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Lists, fetches or checks data sets.
pub fn run(args: &DataArgs, stop: &Stop) -> Result<End> {
    let roots = DataRoots::resolve(args.data_dir.clone())?;
    match &args.command {
        DataCommand::List { json: true } => {
            ui::data(&serde_json::to_string_pretty(&list(&roots)).expect("a list is plain data"))?;
            Ok(End::Done)
        }
        DataCommand::List { json: false } => {
            for listed in list(&roots) {
                ui::data(&describe(&listed))?;
            }
            ui::data(&format!("data sets are read from {}", roots.folder().display()))?;
            Ok(End::Done)
        }
        DataCommand::Get { names, from, quiet } => get(names, from.as_deref(), *quiet, &roots, stop),
        DataCommand::Check { names, side, json } => check_all(names, *side, *json, &roots),
    }
}

fn describe(listed: &Listed) -> String {
    let name = listed.name.to_string();
    let place = match (&listed.place, listed.download_bytes, listed.address) {
        (Some(place), ..) => format!("here: {}", place.display()),
        (None, Some(bytes), Some(address)) => {
            format!("missing: `nasty data get {name}` fetches {} from {address}", megabytes(bytes))
        }
        _ => "here: inside the program".to_owned(),
    };
    format!("{name:<14} {}\n{:<14} {place}\n{:<14} {}", listed.about, "", "", listed.terms)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

fn get(names: &[DataName], from: Option<&str>, quiet: bool, roots: &DataRoots, stop: &Stop) -> Result<End> {
    for name in names {
        let mut transfer = Transfer::new(quiet, stop.clone());
        let end = fetch(name, roots, from, &mut transfer);
        transfer.finish();
        match end.map_err(hinted)? {
            Fetched::Already(place) => ui::data(&format!("{name} was here already: {}", place.display()))?,
            Fetched::Done(place) => ui::data(&format!("{name} is in {}", place.display()))?,
            Fetched::Stopped => {
                ui::say(quiet, "stopped; the partial download is kept, the same command resumes it");
                return Ok(End::Stopped);
            }
        }
    }
    Ok(End::Done)
}

/// What to type, where a download failed.
fn hinted(error: DataError) -> CommandError {
    let hint = matches!(error, DataError::Network { .. }).then_some("to use a mirror, give --from URL");
    CommandError::hinted(error, hint)
}

fn check_all(names: &[DataName], side: Option<Framing>, json: bool, roots: &DataRoots) -> Result<End> {
    let here = || list(roots).into_iter().filter(|listed| listed.here).map(|listed| listed.name);
    let names: Vec<DataName> = if names.is_empty() { here().collect() } else { names.to_vec() };
    if side.is_some() && !names.iter().any(|name| matches!(name, DataName::Folder(_))) {
        let help = Some("only the images of folder:PATH are resized");
        return Err(Trouble::usage("--side without a folder:PATH", help).into());
    }
    let mut all = Vec::new();
    for name in &names {
        let side = side.filter(|_| matches!(name, DataName::Folder(_)));
        let checked = check(name, roots, side)?;
        if json {
            all.push(checked);
        } else {
            ui::data(&counts(&checked))?;
        }
    }
    if json {
        ui::data(&serde_json::to_string_pretty(&all).expect("counts are plain data"))?;
    }
    Ok(End::Done)
}

/// What a data set holds, class by class.
fn counts(checked: &Checked) -> String {
    let place =
        checked.place.as_ref().map_or("inside the program".to_owned(), |place| place.display().to_string());
    let certainty = match checked.certainty {
        Certainty::Identical => "every pixel and label is as published",
        Certainty::Counts => "every image can be read, and every class has the published number of them",
        Certainty::Readable => "every image can be read",
    };
    let [height, width, channels] = checked.shape;
    let total = |counts: &[usize]| counts.iter().sum::<usize>();
    let (train, test) = (total(&checked.train), total(&checked.test));
    let mut text = format!(
        "{} ({place}): {certainty}\n{train} training and {test} test images of {height}×{width}×{channels} in {} classes",
        checked.name,
        checked.classes.len(),
    );
    let width = checked.classes.iter().map(|class| class.chars().count()).max().unwrap_or(0).max(5);
    text += &format!("\n  {:<width$} {:>8} {:>6}", "class", "training", "test");
    for (class, (train, test)) in checked.classes.iter().zip(checked.train.iter().zip(&checked.test)) {
        text += &format!("\n  {class:<width$} {train:>8} {test:>6}");
    }
    text
}
