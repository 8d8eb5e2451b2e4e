//! `nasty completions`.

use crate::failure::{End, Result};
use crate::ui;
use clap::{Args, Command};
use clap_complete::{Shell, generate};

const INSTALL: &str = "\
Where shells look for the script:
  bash        nasty completions bash > ~/.local/share/bash-completion/completions/nasty
  zsh         nasty completions zsh > DIR/_nasty, with DIR one of the folders in $fpath
  fish        nasty completions fish > ~/.config/fish/completions/nasty.fish
  elvish      nasty completions elvish >> ~/.config/elvish/rc.elv
  PowerShell  nasty completions powershell >> $PROFILE";

/// Arguments of `nasty completions`.
#[derive(Args)]
#[command(after_help = INSTALL)]
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
