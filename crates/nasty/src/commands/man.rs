//! `nasty man`.

use crate::failure::{End, Result, Trouble};
use crate::ui;
use clap::{Args, Command};
use std::path::PathBuf;

/// Arguments of `nasty man`.
#[derive(Args)]
pub struct ManArgs {
    /// Folder for the pages, made if absent
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
}

/// Writes a manual page for `program`, and one for each subcommand.
pub fn run(args: &ManArgs, program: Command) -> Result<End> {
    std::fs::create_dir_all(&args.out)
        .and_then(|()| clap_mangen::generate_to(program, &args.out))
        .map_err(|e| Trouble::refused(args.out.display(), &e))?;
    ui::data(&format!("written: {}", args.out.display()))?;
    Ok(End::Done)
}
