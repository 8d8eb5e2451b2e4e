//! Options about where and how to run; none of them changes a result.

use crate::failure::{Result, Trouble};
use clap::Args;
use miette::Diagnostic;
use nasty_teacher::data::DataRoots;
use nasty_teacher::device::device;
use nasty_teacher::lab::{Calibration, Store, Task, Workplace};
use nasty_teacher::victim::Interface;
use nasty_teacher::victim::onnx::Engine;
use std::path::{Path, PathBuf};

/// Where to work.
#[derive(Args)]
pub struct PlaceArgs {
    /// Folder of the runs
    #[arg(long, default_value = "runs", value_name = "DIR")]
    pub store: PathBuf,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// With what to work.
#[derive(Args)]
pub struct MachineArgs {
    /// Folder of the data sets [default: NASTY_DATA_DIR, else ~/.cache/nasty-teacher/datasets]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Device: flex (the CPU), or one of `nasty devices`
    #[arg(long, default_value = "flex")]
    pub device: String,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// What computes ONNX files: auto, rten (built in) or ort:PATH (onnxruntime, in the library at PATH)
    #[arg(long, value_name = "RUNTIME", default_value = "auto")]
    pub onnx_runtime: Engine,
    /// Show no progress and no messages
    #[arg(long, short)]
    pub quiet: bool,
}

impl PlaceArgs {
    /// Opens the workplace; its store is made if absent.
    pub fn open(&self) -> Result<Workplace> {
        self.machine.open(&self.store)
    }

    /// The workplace for reading its store only: nothing is made.
    pub fn look(&self) -> Result<Workplace> {
        self.machine.at(Store::look(&self.store))
    }
}

impl MachineArgs {
    /// Makes the process use the number of threads asked for.
    pub fn use_threads(&self) -> Result<()> {
        let Some(threads) = self.threads else { return Ok(()) };
        let built = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global();
        Ok(built.map_err(|e| Trouble::bug(format!("{threads} threads cannot be started: {e}"), None))?)
    }

    /// Opens the workplace with the runs in the folder `store`, made if absent.
    pub fn open(&self, store: &Path) -> Result<Workplace> {
        self.at(Store::open(store)?)
    }

    /// The workplace at `store`.
    pub fn at(&self, store: Store) -> Result<Workplace> {
        self.use_threads()?;
        let roots = DataRoots::resolve(self.data_dir.clone())?;
        let mut workplace = Workplace::new(store, roots, device(&self.device)?, &self.device);
        if let Ok(program) = std::env::current_exe() {
            workplace.onnx = self.onnx_runtime.runtime(program)?;
        }
        Ok(workplace)
    }
}

/// Seconds that the tasks which are not done take on this machine; none if they are short.
pub fn seconds_left<'t>(
    workplace: &Workplace,
    tasks: impl IntoIterator<Item = &'t Task> + Clone,
) -> Result<Option<f64>> {
    let usual = Calibration::usual_file();
    let mut calibration = Calibration::open(workplace.device.clone(), &workplace.device_name, usual);
    Ok(workplace.seconds_left(tasks, &mut calibration)?)
}

/// The same for people.
pub fn in_words(seconds: Option<f64>, workplace: &Workplace) -> Option<String> {
    let threads = workplace.machine().threads;
    seconds.map(|seconds| format!("about {} on this machine, with {threads} threads", span(seconds)))
}

/// A time span for people.
fn span(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round().max(1.0) as u64;
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours @ ..48, minutes) => format!("{hours} h {minutes} min"),
        (hours, _) => format!("{} days", (hours as f64 / 24.0).round()),
    }
}

/// Parses a value, and keeps the error's help, which clap would drop.
pub fn named<T>(text: &str) -> std::result::Result<T, String>
where
    T: std::str::FromStr,
    T::Err: Diagnostic,
{
    text.parse::<T>().map_err(|error| match error.help() {
        Some(help) => format!("{error}\n  help: {help}"),
        None => error.to_string(),
    })
}

/// What a victim reveals, as it is typed.
pub fn interface(text: &str) -> std::result::Result<Interface, String> {
    let (kind, number) = text.split_once(':').map_or((text, None), |(kind, n)| (kind, Some(n)));
    let number = number.map(|n| n.parse::<u32>().map_err(|e| format!("`{n}`: {e}"))).transpose()?;
    match (kind, number) {
        ("logits", None) => Ok(Interface::Logits),
        ("probabilities", None) => Ok(Interface::Probabilities),
        ("label", None) => Ok(Interface::Label),
        ("top" | "top-k", Some(k)) => Ok(Interface::TopK { k: k as usize }),
        ("rounded", Some(decimals)) => Ok(Interface::Rounded { decimals }),
        _ => Err("expected logits, probabilities, top-k:K, rounded:DECIMALS or label".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn time_spans_are_told_in_the_units_of_people() {
        let told = [1.0, 150.0, 3_599.0, 12_345.0, 172_000.0, 7e6].map(span);
        assert_eq!(told, ["1 min", "3 min", "1 h 0 min", "3 h 26 min", "47 h 47 min", "81 days"]);
    }
}
