//! The commands, a file each.

mod branch;
pub(crate) mod cancel;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod domain;
pub(crate) mod env;
pub(crate) mod list;
pub(crate) mod logs;
mod migrate;
pub(crate) mod options;
pub(crate) mod plan;
pub(crate) mod prune;
pub(crate) mod queue;
pub(crate) mod remove;
pub(crate) mod rollback;
pub(crate) mod schedule;
pub(crate) mod serve;
mod settings;
pub(crate) mod show;
pub(crate) mod why;
pub(crate) mod worker;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, Result};
use crate::ui::Ui;

/// Carries out what the command line asks for.
pub(crate) async fn run(cli: Cli, ui: &Ui) -> Result<Exit> {
    if let Command::Completions(args) = cli.command {
        return Ok(completions::run(&args, &Ui::new(false)));
    }
    let settings = cli.settings.resolve()?;
    match cli.command {
        Command::Cancel(args) => cancel::run(&args, &settings, ui).await,
        Command::Completions(_) => Ok(Exit::Ok),
        Command::Demo(args) => demo::run(&args, settings, ui).await,
        Command::Deploy(args) => deploy::run(&args, &settings, ui).await,
        Command::Doctor(args) => doctor::run(&args, &settings, ui).await,
        Command::Domain(args) => domain::run(&args, &settings, ui).await,
        Command::Env(args) => env::run(&args, &settings, ui).await,
        Command::List(args) => list::run(&args, &settings, ui).await,
        Command::Logs(args) => logs::run(&args, &settings, ui).await,
        Command::Migrate => migrate::run(&settings, ui).await,
        Command::Plan(args) => plan::run(&args, &settings, ui).await,
        Command::Prune(args) => prune::run(&args, &settings, ui).await,
        Command::Queue(args) => queue::run(&args, &settings, ui).await,
        Command::Remove(args) => remove::run(&args, &settings, ui).await,
        Command::Rollback(args) => rollback::run(&args, &settings, ui).await,
        Command::Schedule(args) => schedule::run(&args, &settings, ui).await,
        Command::Serve(_) => serve::run(&settings, ui).await,
        Command::Show(args) => show::run(&args, &settings, ui).await,
        Command::Why(args) => why::run(&args, &settings, ui).await,
        Command::Worker(_) => worker::run(&settings, ui).await,
    }
}
