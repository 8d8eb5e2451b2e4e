//! `nasty completions`.

use crate::failure::{End, Result};
use crate::ui;
use clap::{Args, Command};
use clap_complete::{Shell, generate};

/// Arguments of `nasty completions`.
#[derive(Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script that makes a shell complete the arguments of `program`.
pub fn run(args: &CompletionsArgs, mut program: Command) -> Result<End> {
    // Written to memory first: the generator panics when standard output is closed.
    let mut script = Vec::new();
    generate(args.shell, &mut program, "nasty", &mut script);
    ui::data(String::from_utf8_lossy(&script).trim_end())?;
    Ok(End::Done)
}
