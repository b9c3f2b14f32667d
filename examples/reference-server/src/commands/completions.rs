//! `deployr completions`

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  deployr completions bash > ~/.local/share/bash-completion/completions/deployr")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Exit {
    clap_complete::generate(args.shell, &mut Cli::command(), "deployr", &mut std::io::stdout());
    Exit::Ok
}
