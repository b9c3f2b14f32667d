//! `deployr`: the reference server of the deployment engine, as one binary.

mod announce;
mod cli;
mod commands;
mod config;
#[cfg(feature = "cpanel")]
mod cpanel;
mod data;
mod docker;
mod exit;
mod follow;
mod host;
mod keys;
mod metrics;
mod progress;
mod repository;
mod shared;
mod signals;
#[cfg(feature = "ssh")]
mod ssh;
mod table;
mod ui;
mod view;
mod work;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::cli::{Cli, Command};
use crate::exit::{Error, Exit, Result};
use crate::ui::Ui;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refused) => return ui::show_usage(&refused).into(),
    };
    let mut ui = Ui::new(cli.json);
    if cli.command.works() {
        ui = ui.for_work();
    }
    match run(cli, &ui) {
        Ok(exit) => exit.into(),
        Err(error) => {
            ui.error(&error);
            error.exit().into()
        }
    }
}

fn run(cli: Cli, ui: &Ui) -> Result<Exit> {
    let filter: Targets = std::env::var("RUST_LOG")
        .unwrap_or_else(|_| default_log(&cli.command).into())
        .parse()
        .map_err(|error| {
            Error::usage(error).hint("RUST_LOG is a list such as `info,deployr_core=debug`")
        })?;
    tracing_subscriber::registry()
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(ui.on_terminal()),
        )
        .with(filter)
        .init();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("start the runtime", error))?
        .block_on(commands::run(cli, ui))
}

/// Who shows a deployment's log need not be warned of the same faults again.
fn default_log(command: &Command) -> &'static str {
    match command {
        Command::Serve(_) | Command::Worker(_) => "warn",
        _ => "warn,deployr_core::worker=error",
    }
}
