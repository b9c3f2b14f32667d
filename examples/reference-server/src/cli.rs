//! The command line.

use clap::{Parser, Subcommand};

use crate::commands;
use crate::config::Layer;

/// Deploys git repositories to this machine and serves them, without downtime.
#[derive(Debug, Parser)]
#[command(name = "deployr", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print JSON: one object a line for what happens, one for the result; errors too, on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: Layer,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  deployr demo                                   See it work: two deployments of a sample site
  deployr deploy https://github.com/acme/site    Deploy a repository
  deployr deploy . --serve                       Deploy the one in this folder, and serve it
  deployr serve                                  Serve all projects, carry out what is asked for
  deployr rollback site                          Go back to the release before

Exit codes:
  0 done   1 the deployment failed or was cancelled   2 a fault   64 a wrong command or value

Every setting can be given as a flag, as a variable of the environment, or in a file, in this
order. `deployr <command> --help` shows all of them; so does docs/configuration.md.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Deploy a sample site twice, show that no request fails meanwhile, and keep serving it
    Demo(commands::demo::Args),
    /// Deploy a repository, and follow the deployment to its end
    Deploy(commands::deploy::Args),
    /// Serve all projects and carry out deployments, until asked to stop
    Serve(commands::serve::Args),
    /// Carry out deployments without serving, for machines where another web server does that
    Worker(commands::worker::Args),
    /// List the projects, or the deployments of one
    List(commands::list::Args),
    /// Show a project or a deployment
    Show(commands::show::Args),
    /// Print the log of a deployment
    Logs(commands::logs::Args),
    /// Go back to an earlier release; builds nothing
    Rollback(commands::rollback::Args),
    /// Ask a deployment to stop
    Cancel(commands::cancel::Args),
    /// Show what a deployment would do, without doing it
    Plan(commands::plan::Args),
    /// Show what of Docker's disk could go, and remove it
    Prune(commands::prune::Args),
    /// Show how full the queue is and who works on it, and pause or resume what is in it
    Queue(commands::queue::Args),
    /// Say why a deployment waits
    Why(commands::why::Args),
    /// Manage the variables of a project's environment
    Env(commands::env::Args),
    /// Manage the domains at which a project is served
    Domain(commands::domain::Args),
    /// Deploy projects again and again, by a timetable
    Schedule(commands::schedule::Args),
    /// Remove a project, with all that is on its targets
    Remove(commands::remove::Args),
    /// Bring the database up to date with this version
    Migrate,
    /// Check that this machine, or a server that is deployed to, has what deployr needs
    Doctor(commands::doctor::Args),
    /// Print the completions for a shell
    Completions(commands::completions::Args),
}

impl Command {
    /// Whether it carries out deployments, or may.
    pub(crate) fn works(&self) -> bool {
        matches!(
            self,
            Self::Demo(_)
                | Self::Deploy(_)
                | Self::Remove(_)
                | Self::Rollback(_)
                | Self::Serve(_)
                | Self::Worker(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
