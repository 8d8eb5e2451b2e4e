//! Options that say where and how to work; none of them changes a result.

use clap::Args;
use miette::{IntoDiagnostic, Result};
use nasty_teacher::data::DataRoots;
use nasty_teacher::device::device;
use nasty_teacher::lab::{Store, Workplace};
use std::path::PathBuf;

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
    /// Threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// No progress and no talk
    #[arg(long, short)]
    pub quiet: bool,
}

impl MachineArgs {
    /// Makes the process use the number of threads asked for.
    pub fn use_threads(&self) -> Result<()> {
        match self.threads {
            Some(threads) => {
                rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global().into_diagnostic()
            }
            None => Ok(()),
        }
    }

    /// Opens the workplace with the runs in `store`.
    pub fn open(&self, store: &std::path::Path) -> Result<Workplace> {
        self.use_threads()?;
        let roots = DataRoots::resolve(self.data_dir.clone())?;
        let device_ = device(&self.device)?;
        Ok(Workplace::new(Store::open(store)?, roots, device_, &self.device))
    }
}
