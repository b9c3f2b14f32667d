//! `deployr cancel`

use serde_json::json;

use crate::config::Settings;
use crate::exit::{Exit, Result};
use crate::host::Host;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  deployr cancel dep_01jd5m2xkqe0vs5m6t9h2w3y4z

It stops at once where nobody works on it, else as soon as whoever does has stopped; one that
has ended stays as it is. `deployr logs -f` shows when.")]
pub(crate) struct Args {
    /// A deployment's id, or a project's name for its newest one
    deployment: String,
    /// Why, for the log
    #[arg(long, default_value = "called off by the operator")]
    reason: String,
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let host = Host::client(settings).await?;
    let id = host.deployment(&args.deployment).await?.id;
    let deployment = host.engine.cancel(&host.actor, id, &args.reason).await?;
    ui.emit(&json!({"deployment": deployment}));
    ui.say(format_args!("{id} is {}", deployment.status));
    Ok(Exit::Ok)
}
