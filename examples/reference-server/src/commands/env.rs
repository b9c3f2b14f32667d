//! `deployr env`

use std::path::PathBuf;

use deployr_core::value::EnvName;
use serde_json::json;

use super::options::parse_variables;
use crate::config::Settings;
use crate::exit::{Error, Exit, Result};
use crate::host::Host;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr env set site MODE=production
  deployr env set site --file .env
  deployr env unset site MODE
  deployr env list site

Values are sealed before they are stored, and never shown again. They hold from the next
deployment on.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Set variables
    Set {
        /// The project's name or id
        project: String,
        /// NAME=VALUE; NAME alone takes the value that it has here
        #[arg(value_name = "NAME[=VALUE]")]
        variables: Vec<String>,
        /// A file with one NAME=VALUE a line
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Remove variables
    Unset {
        /// The project's name or id
        project: String,
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// List the names
    List {
        /// The project's name or id
        project: String,
    },
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let host = Host::client(settings).await?;
    let (engine, actor) = (&host.engine, &host.actor);
    let project = match &args.action {
        Action::Set { project, .. } | Action::Unset { project, .. } | Action::List { project } => {
            host.project(project).await?
        }
    };
    let (project, name) = (project.id, project.name);
    match &args.action {
        Action::Set {
            variables, file, ..
        } => {
            let set = parse_variables(variables, file.as_deref())?;
            if set.is_empty() {
                return Err(Error::usage("there is nothing to set")
                    .hint("write NAME=VALUE, or --file FILE"));
            }
            for (name, value) in &set {
                engine.set_env(actor, project, name, Some(value)).await?;
            }
        }
        Action::Unset { names, .. } => {
            let names = names.iter().map(EnvName::parse);
            let names = names.collect::<std::result::Result<Vec<_>, _>>()?;
            let set = engine.env_names(actor, project).await?;
            if let Some(absent) = names.iter().find(|name| !set.contains(name)) {
                return Err(Error::verdict(format!("{name} has no variable {absent}"))
                    .hint("nothing was removed; `deployr env list` shows which there are"));
            }
            for name in &names {
                engine.set_env(actor, project, name, None).await?;
            }
        }
        Action::List { .. } => {}
    }
    let names = engine.env_names(actor, project).await?;
    ui.emit(&json!({"env": names}));
    names.iter().for_each(|name| ui.say(name));
    Ok(Exit::Ok)
}
