//! `deployr completions`

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  deployr completions bash > ~/.local/share/bash-completion/completions/deployr")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "deployr", &mut script);
    ui.say(String::from_utf8_lossy(&script));
    Exit::Ok
}
